"""Cache import and export of one build, including cache mounts."""
