"""Floor 4: layers, the packed differences between file systems: tar, whiteouts, compression."""
