"""What a person takes home: a run as files that work without MicroLLM."""
