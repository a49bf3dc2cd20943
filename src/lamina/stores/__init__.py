"""Floor 3: what lasts: blobs, snapshots, metadata, and who still needs them."""
