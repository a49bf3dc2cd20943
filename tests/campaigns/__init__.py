"""Campaigns: random builds, for any length of time, whose results are checked against invariants.

`scripts/campaign NAME` runs one.
"""
