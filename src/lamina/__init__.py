"""lamina builds container images: BuildKit's language and graph, in one process."""

__version__ = "0.1.0"
