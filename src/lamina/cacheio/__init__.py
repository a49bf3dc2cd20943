"""Cache import and export: build results as BuildKit's cache chains, and cache mounts as packs."""
