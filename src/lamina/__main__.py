"""`python -m lamina`."""

from lamina.cli.main import entry

entry()
