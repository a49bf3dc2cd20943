"""Attestations of results: provenance, and the statements of frontends."""
