"""What a window shows, keeps alive and owns, and what its controls say. Nothing here draws a page."""
