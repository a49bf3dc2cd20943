"""Floor 4: what a client lends to a build: its files, its secrets, its SSH agent."""
