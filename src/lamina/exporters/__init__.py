"""How each artifact is made from a result."""
