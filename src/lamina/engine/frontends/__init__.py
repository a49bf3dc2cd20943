"""Frontends, and the bridges through which they read images, files and results."""
