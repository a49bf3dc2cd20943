"""Compares two images: files, layers, configuration, packages."""
