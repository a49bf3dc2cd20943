"""Checks: warnings about a Dockerfile, with BuildKit's names."""
