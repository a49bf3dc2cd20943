"""Persistent data: blobs, snapshots, metadata, and the leases on them."""
