"""Floor 7: caches that travel, to registries, folders and images, and back."""
