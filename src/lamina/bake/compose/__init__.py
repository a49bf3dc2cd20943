"""Compose files: the build sections of services, as bake targets."""
