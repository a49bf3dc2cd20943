"""The BuildKit version that lamina reports: clients and servers enable features by it."""

from __future__ import annotations

from lamina import __version__

BUILDKIT_VERSION = "v0.32.0"
USER_AGENT = f"lamina/{__version__} buildkit/{BUILDKIT_VERSION.rpartition('.')[0]}"
