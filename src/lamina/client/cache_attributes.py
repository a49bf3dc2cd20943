"""The attributes of caches as engines and daemons take them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.client.contract import CacheSpec


def cache_pairs(spec: CacheSpec) -> dict[str, str]:
    """The attributes of a cache, with its type and the credentials of the environment."""
    pairs = {"type": spec.type, **dict(spec.attributes)}
    if spec.type not in ("gha", "s3"):
        return pairs
    from lamina.cacheio.object_options import with_environment

    return with_environment(spec.type, pairs, os.environ)
