"""Floor 7: the façade over everything below, and the only place where it is wired together."""
