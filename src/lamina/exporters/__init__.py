"""Exporters: write results as images, archives and directories."""
