"""Progress renderers: readers of the event stream, one a `--progress` mode."""
