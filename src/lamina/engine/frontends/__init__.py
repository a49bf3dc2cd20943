"""Frontends, and the bridges through which they ask for images, files and results."""
