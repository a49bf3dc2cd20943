"""Floor 4: the Dockerfile frontend, from text to an LLB definition."""
