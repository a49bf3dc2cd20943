"""Annotations of images, and the document that each belongs to (BuildKit's output attributes)."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple
from lamina.base.platform import Platform, parse_platform

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Pairs = tuple[tuple[str, str], ...]

_KEY = r"annotation(?:-([a-z-]+))?(?:\[([A-Za-z0-9_/-]+)\])?\.(\S+)\Z"


class Level(Enum):
    """The document that has an annotation; the descriptors are entries for it in an index."""

    INDEX = "index"
    INDEX_DESCRIPTOR = "index-descriptor"
    MANIFEST = "manifest"
    MANIFEST_DESCRIPTOR = "manifest-descriptor"


class Annotation(NamedTuple):
    """`platform` limits those of manifests to one image of several."""

    level: Level
    key: str
    value: str
    platform: Platform | None = None


def parse_annotation(attribute: str, value: str) -> Annotation | None:
    """Parse `annotation[-level][\\[platform\\]].key`; None for an attribute of another kind.

    Raises InvalidInput.
    """
    matched = re.match(_KEY, attribute)
    if matched is None:
        return None
    kind, platform, key = matched.groups()
    try:
        level = Level(kind or "manifest")
    except ValueError:
        raise InvalidInput(f'unknown annotation type "{kind}"') from None
    return Annotation(level, key, value, parse_platform(platform) if platform else None)


def of_index(annotations: Iterable[Annotation], level: Level) -> Pairs:
    """Annotations of the index or of its descriptor, sorted. The last one of a key counts."""
    return tuple(sorted({a.key: a.value for a in annotations if a.level is level}.items()))


def of_manifest(annotations: Sequence[Annotation], level: Level, platform: Platform) -> Pairs:
    """Annotations of one platform's manifest or descriptor. Those that name it take precedence."""
    fitting = [a for a in annotations if a.level is level and a.platform in (None, platform)]
    general = {a.key: a.value for a in fitting if a.platform is None}
    own = {a.key: a.value for a in fitting if a.platform is not None}
    return tuple(sorted({**general, **own}.items()))


def check_platforms(annotations: Iterable[Annotation], platforms: Sequence[Platform]) -> None:
    """Raise InvalidInput for an annotation of a platform that is not built."""
    for annotation in annotations:
        if annotation.platform is not None and annotation.platform not in platforms:
            raise InvalidInput(
                f"invalid annotation: no platform {annotation.platform} found in source",
                hint=f"platforms of the build: {', '.join(map(str, platforms))}",
            )
