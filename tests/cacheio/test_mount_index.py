"""The format of exported cache mounts, which must not change: registries contain some."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from lamina.base import oci
from lamina.base.digest import Digest
from lamina.base.errors import Corrupt, Exhausted
from lamina.base.oci import Descriptor
from lamina.cacheio import mount_index
from lamina.cacheio.mount_index import (
    PACK_TYPE,
    Chunk,
    MountEntry,
    MountIndex,
    decode_index,
    encode_index,
    expand_zstd,
    export_name,
    make_manifest,
    part_of,
)

AA, BB = "aa" * 32, "bb" * 32
PACK = Descriptor(PACK_TYPE, Digest("sha256:" + "11" * 32), 99)
INDEX = MountIndex(
    "go-build",
    (PACK,),
    (Chunk(AA, 0, 0, 10), Chunk(BB, 0, 10, 5)),
    (
        MountEntry("", 0o40755, 0, 0, 1),
        MountEntry("d", 0o40700, 1, 2, 1_600_000_000_123_456_789),
        MountEntry("d/file", 0o104751, 12, 34, 5, (1, 0, 1)),
        MountEntry("link", 0o120777, 0, 0, 6, (), "../x"),
    ),
)
GOLDEN = {
    "mount": "go-build",
    "chunks": [[AA, 0, 0, 10], [BB, 0, 10, 5]],
    "entries": [
        ["", 0o40755, 0, 0, 1, [], ""],
        ["d", 0o40700, 1, 2, 1600000000123456789, [], ""],
        ["d/file", 0o104751, 12, 34, 5, [1, 0, 1], ""],
        ["link", 0o120777, 0, 0, 6, [], "../x"],
    ],
}


def packed(document: Any) -> bytes:
    return zstandard.ZstdCompressor().compress(json.dumps(document).encode())


def test_the_index_blob() -> None:
    descriptor, blob = encode_index(INDEX)
    assert json.loads(zstandard.ZstdDecompressor().decompress(blob)) == GOLDEN
    assert descriptor.media_type == "application/vnd.lamina.cachemount.v1+json.zstd"
    assert decode_index(blob, "go-build", (PACK,)) == INDEX
    assert decode_index(packed(GOLDEN), "go-build", (PACK,)) == INDEX
    assert INDEX.size == 20
    assert encode_index(INDEX) == (descriptor, blob)


def test_the_manifest() -> None:
    config, _ = encode_index(INDEX)
    claims = [Digest("sha256:" + "22" * 32), Digest("sha256:" + "00" * 32)]
    target, data = make_manifest(INDEX, config, claims)
    document = json.loads(data)
    assert document["layers"] == [
        {
            "mediaType": "application/vnd.lamina.cachepack.v1+zstd",
            "digest": "sha256:" + "11" * 32,
            "size": 99,
        }
    ]
    assert document["config"]["digest"] == config.digest
    notes = {"io.lamina.cachemount.claims": f"sha256:{'00' * 32} sha256:{'22' * 32}"}
    assert document["annotations"] == notes
    assert isinstance(oci.parse_manifest(data), oci.Manifest)
    assert target.size == len(data)
    assert "annotations" not in json.loads(make_manifest(INDEX, config, ())[1])


def test_names() -> None:
    assert export_name("/root/.cache") == "root/.cache"
    assert part_of("go-build") == "mount-1f589d4f9dc079a4"


def changed(**fields: Any) -> dict[str, Any]:
    return {**GOLDEN, **fields}


def entry(path: str, mode: int = 0o100644, *chunks: int) -> list[Any]:
    return [path, mode, 0, 0, 0, list(chunks), ""]


ROOT = entry("", 0o40755)


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        changed(chunks=[[AA, 1, 0, 10]], entries=[ROOT]),
        changed(chunks=[[AA, -1, 0, 10]], entries=[ROOT]),
        changed(chunks=[[AA, 0, -5, 10]], entries=[ROOT]),
        changed(chunks=[[AA, 0, 0, -1]], entries=[ROOT]),
        changed(entries=[ROOT, entry("f", 0o100644, 2)]),
        changed(entries=[ROOT, entry("f", 0o100644, -1)]),
        changed(entries=[ROOT, entry("../f")]),
        changed(entries=[ROOT, entry("/etc/f")]),
        changed(entries=[ROOT, entry("a/../f")]),
        changed(entries=[ROOT, entry("a//f")]),
        changed(entries=[ROOT, entry("f\0")]),
        changed(entries=[ROOT, entry("d/f")]),
        changed(entries=[ROOT, entry("l", 0o120777), entry("l/f")]),
        changed(entries=[ROOT, entry("f"), entry("f")]),
        changed(entries=[ROOT, entry("f", 0o20644)]),
        changed(entries=[ROOT, ["f"]]),
        changed(entries=7),
        changed(chunks=[["aa", 0, 0, 10]], entries=[ROOT]),
        changed(chunks=[[AA.upper(), 0, 0, 10]], entries=[ROOT]),
        changed(chunks=[[AA, True, 0, 10]], entries=[ROOT]),
        changed(chunks=[[AA, 0, 0, 10.0]], entries=[ROOT]),
        changed(chunks=[[AA, 0, 0, 1 << 40]], entries=[ROOT]),
        changed(entries=[entry("", 0o100644)]),
        changed(entries=[ROOT, entry("/f")]),
        changed(entries=[ROOT, entry(".")]),
        changed(entries=[ROOT, entry("d/", 0o40755)]),
        changed(entries=[ROOT, entry("f" * 5000)]),
        changed(entries=[ROOT, entry("\ud800")]),
        changed(entries=[ROOT, ["f", -1, 0, 0, 0, [], ""]]),
        changed(entries=[ROOT, ["f", 0o1100644, 0, 0, 0, [], ""]]),
        changed(entries=[ROOT, ["f", 0o100644, -1, 0, 0, [], ""]]),
        changed(entries=[ROOT, ["f", 0o100644, 0, 1 << 32, 0, [], ""]]),
        changed(entries=[ROOT, ["f", 0o100644, 0, 0, 1 << 80, [], ""]]),
        changed(entries=[ROOT, ["f", 0o100644, 0, 0, 1e999, [], ""]]),
        changed(entries=[ROOT, ["f", 0o100644, "0", 0, 0, [], ""]]),
        changed(entries=[ROOT, ["f", 0o100644, 0, 0, 0, [True], ""]]),
        changed(entries=[ROOT, ["f", 0o100644, 0, 0, 0, [], "link"]]),
        changed(entries=[ROOT, ["l", 0o120777, 0, 0, 0, [], 7]]),
        changed(entries=[ROOT, ["l", 0o120777, 0, 0, 0, [], ""]]),
        changed(entries=[ROOT, ["l", 0o120777, 0, 0, 0, [], "a\0b"]]),
        changed(entries=[ROOT, ["l", 0o120777, 0, 0, 0, [], "\udfff\ud800"]]),
        changed(entries=[ROOT, ["l", 0o120777, 0, 0, 0, [0], "x"]]),
    ],
)
def test_malformed_indexes_and_paths_outside_the_mount_are_refused(document: Any) -> None:
    with pytest.raises(Corrupt):
        decode_index(packed(document), "x", (PACK,))


def test_names_that_are_no_utf8_are_kept() -> None:
    index = INDEX._replace(entries=(*INDEX.entries, MountEntry("\udcff\udc80", 0o100644, 0, 0, 0)))
    assert decode_index(encode_index(index)[1], "go-build", (PACK,)) == index


def test_json_that_is_nested_too_deep_is_refused() -> None:
    with pytest.raises(Corrupt):
        decode_index(zstandard.ZstdCompressor().compress(b"[" * 100_000), "x", ())


def test_a_huge_declared_size_takes_no_memory() -> None:
    claims = bytearray(zstandard.ZstdCompressor().compress(b"{}"))
    frame = bytes(claims[:4]) + b"\xc0\x00" + (1 << 50).to_bytes(8, "little") + bytes(claims[6:])
    with pytest.raises(Corrupt):
        decode_index(frame, "x", ())
    with pytest.raises(Corrupt, match="larger than"):
        expand_zstd(zstandard.ZstdCompressor().compress(bytes(4 << 20)), 1 << 20)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_read(blob: bytes) -> None:
    for data in (blob, zstandard.ZstdCompressor().compress(blob)):
        with pytest.raises(Corrupt):
            decode_index(data, "x", ())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)


@given(JSON, JSON)
def test_any_json_is_refused_or_read(listed: Any, entries: Any) -> None:
    try:
        decode_index(packed({"chunks": listed, "entries": entries}), "x", (PACK,))
    except Corrupt:
        return


@pytest.mark.parametrize("unit", [b"[],", b"{},", b'"ab",', b'{"a":1},', b"[[]],"])
def test_few_bytes_that_would_make_large_objects_are_refused(unit: bytes) -> None:
    document = b'{"chunks":[' + unit * 200_000 + b'0],"entries":[]}'
    with pytest.raises(Corrupt, match="too many values"):
        decode_index(zstandard.ZstdCompressor().compress(document), "x", ())


def test_memory_for_a_hostile_index_is_limited() -> None:
    """The peak in MiB of a process that reads the largest accepted index."""
    script = (
        "import zstandard\n"
        "from lamina.base.errors import Corrupt\n"
        "from lamina.cacheio.mount_index import decode_index\n"
        "data = b'{\"chunks\":[' + b'999,' * (15 << 20) + b'0],\"entries\":[]}'\n"
        "blob = zstandard.ZstdCompressor().compress(data)\n"
        "del data\n"
        "try:\n    decode_index(blob, 'x', ())\nexcept Corrupt as error:\n    print(error.reason)\n"
        # Not `ru_maxrss`: that is at least the size of the parent process.
        "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM:'))\n"
        "print(int(peak.split()[1]) >> 10)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    reason, peak = done.stdout.splitlines()
    assert "999 is not an array" in reason
    assert int(peak) < 1024


@pytest.mark.parametrize(
    "names", [[f"[{n}]" for n in range(50_000)], [f'"{n}"' for n in range(50_000)], ["{}" * 1000]]
)
def test_odd_names_are_not_too_many_values(names: list[str]) -> None:
    entries = tuple(MountEntry(name, 0o100644, 0, 0, 1_700_000_000_123_456_789) for name in names)
    index = INDEX._replace(entries=(*INDEX.entries, *entries))
    assert decode_index(encode_index(index)[1], "go-build", (PACK,)) == index


def test_an_index_too_large_to_read_is_not_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mount_index, "_LIMIT", 10_000)
    entries = tuple(MountEntry(f"f{n}", 0o100644, 0, 0, 0) for n in range(500))
    with pytest.raises(Exhausted, match="go-build has too many files"):
        encode_index(INDEX._replace(entries=entries))
