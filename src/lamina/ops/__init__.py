"""Floor 6: how each kind of op is keyed and runs."""
