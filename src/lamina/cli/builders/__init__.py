"""Commands on named builders, with the flags, columns and JSON of `docker buildx`."""
