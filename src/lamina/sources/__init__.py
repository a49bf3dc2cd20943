"""Floor 5: where inputs come from: images, folders, URLs, layouts."""
