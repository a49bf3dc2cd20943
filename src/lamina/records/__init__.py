"""Records of builds: what was asked for, what each step's key was made of, and what came of it."""
