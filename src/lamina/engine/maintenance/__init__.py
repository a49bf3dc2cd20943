"""Disk usage, pruning and checking of a store."""
