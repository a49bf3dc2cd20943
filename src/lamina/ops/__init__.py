"""The ops: how each kind computes its cache key and runs."""
