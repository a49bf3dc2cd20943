"""Floor 4: the distribution API: names to digests, manifests and blobs, and back again."""
