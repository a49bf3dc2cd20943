"""The Builder port: commands and programs build through it, in this process or in a daemon."""
