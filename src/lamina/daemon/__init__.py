"""`lamina daemon`, which serves BuildKit's API."""
