"""Floor 5: handles on results, what is in them, and how to get at their files or layers."""
