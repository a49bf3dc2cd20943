"""Floor 6: how each artifact is made from a result."""
