"""Judges: keep a record, or the reason why not. media.py, duplicates.py, answers.py."""
