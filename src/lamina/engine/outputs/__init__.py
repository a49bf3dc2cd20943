"""Writes a build's outputs: images, archives and directories."""
