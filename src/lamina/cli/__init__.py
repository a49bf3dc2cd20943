"""The `lamina` command. Modules are imported lazily, because start-up time counts."""
