"""`lamina imagetools`: images in registries, with the flags and templates of `docker buildx`."""
