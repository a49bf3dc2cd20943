"""Clients of object stores: Amazon S3, Azure Blob Storage, Google Cloud Storage, Actions cache."""
