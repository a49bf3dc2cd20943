"""Parsers of what package managers write. Each reads one file and returns its packages.

They raise ValueError or LaminaError for malformed files.
"""
