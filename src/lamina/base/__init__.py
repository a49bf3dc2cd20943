"""Floor 1: the values that every other package speaks in. No I/O happens here."""
