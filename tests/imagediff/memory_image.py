"""Images in memory, made from entries."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

from lamina.base.digest import Digest, digest_of
from lamina.base.errors import NotFound
from lamina.base.oci import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Descriptor, Manifest
from lamina.imagediff.image import Image, image_of
from lamina.layers.entry import Entry
from lamina.layers.writer import END, header, padding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lamina.system.cancel import Cancellation


class Member(NamedTuple):
    """An entry with its content."""

    entry: Entry
    content: bytes = b""


class MemoryContent:
    """Blobs by digest. Implements `ImageContent`."""

    def __init__(self, blobs: dict[Digest, bytes]) -> None:
        self._blobs = blobs
        self.reads: list[Digest] = []

    def document(self, descriptor: Descriptor, cancel: Cancellation) -> bytes:
        return b"".join(self.chunks(descriptor, cancel))

    def chunks(self, descriptor: Descriptor, cancel: Cancellation) -> Iterator[bytes]:
        self.reads.append(descriptor.digest)
        data = self._blobs.get(descriptor.digest)
        if data is None:
            raise NotFound(f"no blob {descriptor.digest}")
        for at in range(0, len(data), 1000):
            yield data[at : at + 1000]


def file(path: str, content: bytes | str = b"", mode: int = 0o644, **fields: Any) -> Member:
    data = content.encode() if isinstance(content, str) else content
    return Member(Entry(path, stat.S_IFREG | mode, size=len(data), **fields), data)


def folder(path: str, mode: int = 0o755, **fields: Any) -> Member:
    return Member(Entry(path, stat.S_IFDIR | mode, **fields))


def link(path: str, target: str, **fields: Any) -> Member:
    return Member(Entry(path, stat.S_IFLNK | 0o777, link=target, **fields))


def hard_link(path: str, target: str) -> Member:
    return Member(Entry(path, stat.S_IFREG | 0o644, hard_link=target))


def packed(members: Iterable[Member]) -> bytes:
    """A tar archive."""
    parts = []
    for entry, content in members:
        parts += [header(entry), content, padding(len(content))]
    return b"".join((*parts, END))


def image(
    *layers: Iterable[Member] | bytes,
    config: dict[str, Any] | None = None,
    steps: Sequence[str] = (),
    name: str = "image",
    diff_ids: Sequence[str] | None = None,
    **document: Any,
) -> Image:
    """An image with these layers: members, or the bytes of a plain or compressed tar."""
    blobs = [layer if isinstance(layer, bytes) else packed(layer) for layer in layers]
    data = json.dumps(
        {
            "os": "linux",
            "architecture": "amd64",
            "config": config or {},
            "rootfs": {
                "type": "layers",
                "diff_ids": [digest_of(b) for b in blobs] if diff_ids is None else diff_ids,
            },
            "history": [{"created_by": step} for step in steps],
            **document,
        }
    ).encode()
    descriptors = tuple(Descriptor(OCI_LAYER, digest_of(blob), len(blob)) for blob in blobs)
    manifest = Manifest(
        OCI_MANIFEST, Descriptor(OCI_CONFIG, digest_of(data), len(data)), descriptors
    )
    encoded = json.dumps(manifest.to_json()).encode()
    content = MemoryContent({digest_of(blob): blob for blob in (*blobs, data)})
    return image_of(name, digest_of(encoded), manifest, data, content)
