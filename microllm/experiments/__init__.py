"""Experiments and challenges: questions that are answered by training, checked on a person's own runs."""
