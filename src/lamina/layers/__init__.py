"""Layers: the packed differences between file systems (tar, whiteouts, compression)."""
