"""Progress renderers: consumers of the event stream, one per `--progress` mode."""
