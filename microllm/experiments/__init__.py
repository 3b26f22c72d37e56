"""Experiments and challenges: what can be found out by training, and whether a person's own runs say so."""
