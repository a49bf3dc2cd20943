"""Floor 10: `lamina daemon`, which serves BuildKit's API."""
