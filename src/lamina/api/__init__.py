"""The messages and names of BuildKit's API services, as values."""
