"""indexed.py: random access to a dataset folder, checked by digest."""
