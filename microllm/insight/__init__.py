"""What a model does: pure functions of weights and text."""
