"""Where inputs come from: images, folders, git, URLs, OCI layouts."""
