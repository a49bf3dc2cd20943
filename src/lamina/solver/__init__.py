"""Schedules vertices: deduplicates them, looks their results up, and runs the others once."""
