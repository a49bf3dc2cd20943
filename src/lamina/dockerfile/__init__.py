"""The Dockerfile frontend, from text to an LLB definition."""
