"""Floor 8: the Builder port, which commands and programs build through."""
