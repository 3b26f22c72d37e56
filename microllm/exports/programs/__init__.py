"""The last sections of the exported programs, as real modules: `program.py` writes them after the textbook."""
