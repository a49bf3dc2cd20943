"""Sources: images, client directories, git, URLs, OCI layouts."""
