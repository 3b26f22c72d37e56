"""The ends of the programs that are exported, as real modules: `program.py` writes them after the textbook."""
