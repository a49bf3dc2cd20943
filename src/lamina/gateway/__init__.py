"""The client side of BuildKit's gateway API: how a frontend calls the build that it runs for."""
