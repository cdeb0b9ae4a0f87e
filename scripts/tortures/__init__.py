"""The pieces of `scripts/torture.py`, one module each."""
