"""The client of the distribution API: resolves, pulls and pushes manifests and blobs."""
