"""Evaluates HCL expressions."""
