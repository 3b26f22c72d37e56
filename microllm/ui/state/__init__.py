"""What a window looks at, holds and owns. Nothing here draws."""
