"""Refs: handles on file systems, and access to their files and layers."""
