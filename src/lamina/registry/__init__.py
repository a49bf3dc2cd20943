"""The distribution API: resolve, pull and push manifests and blobs."""
