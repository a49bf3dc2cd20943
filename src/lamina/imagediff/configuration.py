"""Compares the configurations of images, member by member."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lamina.base.oci import ANNOTATION_CREATED
from lamina.imagediff.image import history_of
from lamina.imagediff.result import ConfigurationChange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.imagediff.image import Image
    from lamina.imagediff.result import Options

Members = dict[tuple[str, str], Any]

_MAPS = ("Labels", "ExposedPorts", "Volumes", "Healthcheck")
_EMPTY: tuple[object, ...] = (None, "", [], {}, False)
_NOT_COMPARED = frozenset(
    (
        *("config", "rootfs", "history", "created"),
        # Fields in which Docker's legacy builder describes itself.
        *("container", "container_config", "docker_version", "id", "parent", "parent_id"),
    )
)


def configuration_changes(
    before: Image, after: Image, options: Options
) -> tuple[ConfigurationChange, ...]:
    """The differences, in the order of names."""
    old, new = _members(before, options), _members(after, options)
    if None in (before.digest, after.digest):
        # An archive without a manifest has no annotations.
        old, new = ({k: v for k, v in side.items() if k[0] != "annotations"} for side in (old, new))
    return tuple(
        ConfigurationChange(*key, old.get(key), new.get(key))
        for key in sorted(old.keys() | new.keys())
        if not _same(old.get(key), new.get(key))
    )


def _same(before: Any, after: Any) -> bool:
    """Compare as JSON: 1 is not true, and the order of members does not matter."""
    return json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)


def _members(image: Image, options: Options) -> Members:
    found: Members = {}
    document = image.config
    for name, value in document.items():
        if name not in _NOT_COMPARED and value not in _EMPTY:
            found[name, ""] = value
    if options.times and document.get("created"):
        found["created", ""] = document["created"]
    config = document.get("config")
    if isinstance(config, dict):
        for name, value in config.items():
            for key, member in _split(name, value):
                found[name, key] = member
    elif config is not None:
        found["config", ""] = config
    for name, text in image.annotations:
        if options.times or name != ANNOTATION_CREATED:
            found["annotations", name] = text
    if options.history:
        found |= _history(document, options)
    return found


def _split(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The members of a value by key, or the value itself under "". Empty values are left out."""
    if value in _EMPTY or (name == "WorkingDir" and value == "/"):
        return
    if name == "Env" and isinstance(value, list):
        for variable in value:
            key, _, text = str(variable).partition("=")
            yield key, text
    elif name in _MAPS and isinstance(value, dict):
        for key, member in value.items():
            # Ports and volumes are the names of empty objects.
            yield key, {} if member is None else member
    else:
        yield "", value


def _history(document: dict[str, Any], options: Options) -> Members:
    found: Members = {}
    for number, entry in enumerate(history_of(document), 1):
        if not options.times:
            entry = {key: value for key, value in entry.items() if key != "created"}
        found["history", f"{number:03}"] = entry
    return found
