"""What a client provides to a build: files, secrets, SSH agents, credentials."""
