"""The commands and their flags as tables, by subject. `lamina.cli.commands` finds the table of a
command, and imports only its module."""
