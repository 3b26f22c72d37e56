"""Threads that work: training in turns, generation, samples, several processes."""
