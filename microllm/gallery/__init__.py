"""The trained runs that come with MicroLLM (see README.md here), and the command that made them."""
