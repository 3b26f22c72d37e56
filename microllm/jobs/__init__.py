"""Work in threads: training, generation and samples; and training in several processes."""
