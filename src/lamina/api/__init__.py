"""Floor 4: BuildKit's API as values: its messages, and the names of its services."""
