"""Floor 3: decides what runs, once, and what need not. Knows nothing of files."""
