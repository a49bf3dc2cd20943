"""Cache import and export of one build, its cache mounts included."""
