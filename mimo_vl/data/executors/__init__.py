"""local.py: this process or a few worker processes."""
