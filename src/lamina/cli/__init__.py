"""Floor 9: the `lamina` command. Modules import lazily; start-up time counts."""
