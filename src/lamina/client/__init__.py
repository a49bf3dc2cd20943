"""The Builder port, through which commands and programs build: embedded, or in a daemon."""
