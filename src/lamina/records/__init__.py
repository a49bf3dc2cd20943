"""Records of builds: the request, the inputs of each step's cache key, and the outcome."""
