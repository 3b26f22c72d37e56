"""Where texts come from, and where they are kept."""
