"""The outputs of builds, from their records and the manifests of their images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.base.errors import LaminaError
from lamina.base.json_document import load_json_object
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lamina.api.descriptor import Descriptor
    from lamina.api.history import BuildHistoryRecord

_MOST = 64  # manifests of one image


class BuildOutput(NamedTuple):
    """An output of a build.

    `digest` is that of an image's manifest or index, "" if none is recorded. `size` is that of
    the image's layers and configurations in bytes, None if it is not known.
    """

    kind: str
    name: str = ""
    digest: str = ""
    size: int | None = None


def outputs_of(record: BuildHistoryRecord, read: Callable[[str], bytes]) -> tuple[BuildOutput, ...]:
    """The outputs of a build in the order of the request.

    Args:
        read: returns a blob by its digest; raises LaminaError if it does not exist.
    """
    made: dict[int, Descriptor] = {}
    for result in (record.result, *(result for _, result in record.results)):
        for entry in () if result is None else result.results:
            if entry.descriptor is not None:
                made.setdefault(entry.number, entry.descriptor)
    outputs = []
    for number, exporter in enumerate(record.exporters):
        attributes = dict(exporter.attrs)
        name = attributes.get("name", "") or attributes.get("dest", "")
        image = made.get(number)
        if image is None:
            outputs.append(BuildOutput(exporter.type, name))
        else:
            outputs.append(BuildOutput(exporter.type, name, image.digest, _size(image, read)))
    return tuple(outputs)


def _size(image: Descriptor, read: Callable[[str], bytes]) -> int | None:
    try:
        blobs = dict(_blobs(image.digest, read))
    except (LaminaError, ValueError, TypeError, KeyError):
        return None  # pruned, or not an image
    return sum(blobs.values())


def _blobs(digest: str, read: Callable[[str], bytes]) -> Iterator[tuple[str, int]]:
    """The digests and sizes of an image's layers and configurations. Raises LaminaError,
    ValueError, TypeError, KeyError."""
    waiting = [digest]
    for looked, current in enumerate(waiting):
        if looked == _MOST:
            raise ValueError
        document: dict[str, Any] = load_json_object(read(current), "manifest")
        waiting += [str(entry["digest"]) for entry in document.get("manifests", ())]
        for entry in (document.get("config"), *document.get("layers", ())):
            if entry is not None:
                yield str(entry["digest"]), int(entry["size"])
