"""The `lamina` command. Modules are imported lazily to keep start-up short."""
