"""Untrusted documents: each member has the expected type, or the document is rejected."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.base.digest import Digest
from lamina.base.errors import Corrupt
from lamina.base.json_document import (
    items,
    load_json,
    load_json_object,
    text,
    text_pairs,
    whole_number,
)
from lamina.base.oci import Descriptor, diff_ids_of, parse_manifest
from lamina.cacheio.cache_config import decode, decode_inline
from lamina.dockerfile.image_config import ImageConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DIGEST = "sha256:" + "ab" * 32
DESCRIPTOR = {
    "mediaType": "application/vnd.oci.image.layer.v1.tar",
    "digest": DIGEST,
    "size": 3,
    "annotations": {"a": "b"},
    "urls": ["http://x"],
    "artifactType": "x",
    "platform": {
        "os": "linux",
        "architecture": "arm64",
        "variant": "v8",
        "os.version": "1",
        "os.features": ["x"],
    },
}
MANIFEST = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": DESCRIPTOR,
    "layers": [DESCRIPTOR],
    "annotations": {"a": "b"},
}
INDEX = {
    "mediaType": "application/vnd.oci.image.index.v1+json",
    "manifests": [DESCRIPTOR],
    "annotations": {"a": "b"},
}
CONFIG = {
    "os": "linux",
    "architecture": "arm64",
    "author": "me",
    "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
    "config": {
        "Env": ["A=b"],
        "Cmd": ["x"],
        "User": "me",
        "WorkingDir": "/",
        "Labels": {"a": "b"},
        "ExposedPorts": {"80/tcp": {}},
    },
    "history": [{"created": "2020-01-01T00:00:00Z", "created_by": "x", "empty_layer": True}],
}
CACHE = {
    "layers": [{"blob": DIGEST, "parent": -1}],
    "records": [
        {
            "digest": DIGEST,
            "layers": [{"layer": 0, "createdAt": "2020-01-01T00:00:00Z"}],
            "chains": [{"layers": [0], "createdAt": "2020-01-01T00:00:00Z"}],
            "inputs": [[{"selector": "/x", "link": 0}]],
        }
    ],
}
WRONG: list[Any] = [
    None,
    True,
    -1,
    1 << 80,
    1.5,
    1e999,
    "",
    "\ud800",
    [],
    {},
    [[]],
    [7],
    {"a": 7},
    "x" * 99,
]


def variants(document: Any) -> Iterator[Any]:
    """A document in which each part, in turn, is replaced or missing."""
    yield from WRONG
    if isinstance(document, dict):
        for key, value in document.items():
            yield {name: other for name, other in document.items() if name != key}
            for variant in variants(value):
                yield {**document, key: variant}
    elif isinstance(document, list):
        for at, value in enumerate(document):
            for variant in variants(value):
                yield [*document[:at], variant, *document[at + 1 :]]


def read_manifest(data: bytes) -> None:
    parse_manifest(data)


def read_config(data: bytes) -> None:
    diff_ids_of(load_json_object(data, "config"))
    ImageConfig.parse(data).to_bytes()


def read_cache(data: bytes) -> None:
    decode(data, ())


def read_inline(data: bytes) -> None:
    from base64 import b64encode

    document: dict[str, Any] = {"moby.buildkit.cache.v0": b64encode(data).decode()}
    layer = Descriptor("", Digest(DIGEST), 3)
    history = load_json(data, "x")
    decode_inline({**document, "history": history}, (layer,), (Digest(DIGEST),))


@pytest.mark.parametrize(
    ("read", "document"),
    [
        (read_manifest, MANIFEST),
        (read_manifest, INDEX),
        (read_config, CONFIG),
        (read_cache, CACHE),
        (read_inline, CACHE["records"]),
    ],
)
def test_values_of_wrong_types(read: Callable[[bytes], None], document: Any) -> None:
    read(json.dumps(document).encode())
    for variant in variants(document):
        try:
            read(json.dumps(variant).encode())
        except Corrupt as error:
            assert len(str(error)) < 1000


@pytest.mark.parametrize("size", [-1, 1 << 63, 1.5, 1e999, "3", True, [3]])
def test_a_size_is_a_whole_number(size: object) -> None:
    with pytest.raises(Corrupt, match="is not an integer"):
        parse_manifest(json.dumps({**INDEX, "manifests": [{**DESCRIPTOR, "size": size}]}).encode())


def test_null_and_missing_members_are_zero_values() -> None:
    assert (whole_number(None), text(None), items(None), text_pairs(None)) == (0, "", [], ())


def test_diff_ids() -> None:
    assert diff_ids_of(CONFIG) == (Digest(DIGEST),)
    assert diff_ids_of({}) == diff_ids_of({"rootfs": None}) == ()
    wrong: list[Any] = [[], "x", {"diff_ids": "x"}, {"diff_ids": [7]}, {"diff_ids": ["sha256:x"]}]
    for rootfs in wrong:
        with pytest.raises(Corrupt):
            diff_ids_of({"rootfs": rootfs})


def test_lone_surrogates_are_replaced_and_pairs_are_kept() -> None:
    found = load_json(rb'{"\ud800": ["a\uDFFFb", "\ud83d\ude00"]}', "x")
    assert found == {"\ufffd": ["a\ufffdb", "\U0001f600"]}
    json.dumps(found, ensure_ascii=False).encode()


@given(st.binary())
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    for document in (data, b"[" * 5000, b'{"a":' * 5000):
        try:
            load_json_object(document, "x")
        except Corrupt:
            continue
