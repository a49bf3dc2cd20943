"""Values that every other package uses. No I/O happens here."""
