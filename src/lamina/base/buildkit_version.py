"""The versions of BuildKit and buildx that lamina reports: programs enable features by them."""

from __future__ import annotations

from lamina import __version__

BUILDKIT_VERSION = "v0.32.0"
BUILDX_VERSION = "v0.36.0"
"""The version of buildx whose commands and flags lamina has, for programs that ask for it."""
USER_AGENT = f"lamina/{__version__} buildkit/{BUILDKIT_VERSION.rpartition('.')[0]}"
