"""Campaigns: builds by chance, for as long as anybody likes, held against what must be true.

`scripts/campaign NAME` runs one.
"""
