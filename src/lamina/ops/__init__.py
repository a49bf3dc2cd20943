"""How each kind of op makes its cache key and runs."""
