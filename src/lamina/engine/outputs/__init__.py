"""From a result to the outputs that a build asks for: images, archives and folders."""
