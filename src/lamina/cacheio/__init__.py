"""Cache import and export: build results as BuildKit's cache chains, cache mounts as packs."""
