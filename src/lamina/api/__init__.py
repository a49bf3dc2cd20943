"""BuildKit's API as values: the messages and names of its services."""
