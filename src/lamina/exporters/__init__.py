"""Exporters: make each kind of output from a result."""
