"""Reading compressed streams: completely, not beyond the end, and in little memory."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

import pytest
import zstandard

from lamina.base.errors import Corrupt, Exhausted
from lamina.layers.archives import is_tar
from lamina.layers.decompression import decompressed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Pack = Callable[[bytes], bytes]

DATA = b"".join(str(number).encode() for number in range(200_000)) + bytes(300_000)


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def zstd_without_size(data: bytes) -> bytes:
    made = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    return made.compress(data) + made.flush()


PACKS: list[Pack] = [gzip.compress, bz2.compress, lzma.compress, zstd, zstd_without_size]


def plain(data: bytes) -> bytes:
    stream = decompressed(io.BytesIO(data))
    pieces = []
    while piece := stream.read(1 << 16):
        assert len(piece) <= 1 << 16
        pieces.append(piece)
    return b"".join(pieces)


@pytest.mark.parametrize("pack", [bytes, *PACKS])
@pytest.mark.parametrize("data", [DATA, b"", b"short"])
def test_decompression_restores_the_content(pack: Pack, data: bytes) -> None:
    assert plain(pack(data)) == data


@pytest.mark.parametrize("pack", PACKS)
def test_members_follow_one_another(pack: Pack) -> None:
    assert plain(pack(b"one ") + pack(b"two ") + pack(b"three")) == b"one two three"


def test_skippable_zstd_frames_are_skipped() -> None:
    frame = b"\x53\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"notes"
    assert plain(frame + zstd(b"one") + frame + zstd(b"two") + frame) == b"onetwo"


@pytest.mark.parametrize("pack", PACKS)
@pytest.mark.parametrize("at", [7, 100, -3])
def test_truncated_streams_are_corrupt(pack: Pack, at: int) -> None:
    with pytest.raises(Corrupt, match="ends early"):
        plain(pack(DATA)[:at])


@pytest.mark.parametrize("pack", PACKS)
def test_damage_is_corrupt(pack: Pack, tmp_path: Path) -> None:
    data = bytearray(pack(DATA))
    for at in range(len(data) // 2, len(data) // 2 + 40):
        data[at] ^= 0x55
    with pytest.raises(Corrupt):
        plain(bytes(data))
    (tmp_path / "file").write_bytes(data)
    assert not is_tar(str(tmp_path / "file"))


MEASURE = """
import resource, sys
from lamina.layers.decompression import decompressed
stream = decompressed(open(sys.argv[1], "rb"))
stream.read(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
size = 1
while piece := stream.read(1 << 18):
    size += len(piece)
print(size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize(
    "compressor",
    [
        zstandard.ZstdCompressor(level=19).compressobj(),
        zlib.compressobj(9, zlib.DEFLATED, 31),
        bz2.BZ2Compressor(),
        lzma.LZMACompressor(preset=1),
    ],
    ids=["zstd", "gzip", "bzip2", "xz"],
)
def test_memory_does_not_grow_with_the_content(
    compressor: zstandard.ZstdCompressionObj, tmp_path: Path
) -> None:
    zeros = bytes(1 << 20)
    with open(tmp_path / "bomb", "wb") as file:
        for _ in range(256):
            file.write(compressor.compress(zeros))
        file.write(compressor.flush())
    assert (tmp_path / "bomb").stat().st_size < 1 << 20
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "bomb")], capture_output=True, check=True
    )
    size, grown = map(int, measured.stdout.split())
    assert size == 256 << 20
    assert grown < 32 << 10, f"{grown} KiB"


@pytest.mark.parametrize("pack", PACKS)
def test_a_limit_on_what_a_stream_inflates_to(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMINA_MAX_UNPACKED", "1m")
    with pytest.raises(Exhausted, match="larger than 1048576 bytes"):
        plain(pack(bytes(2 << 20)))
    assert plain(pack(bytes(1 << 20))) == bytes(1 << 20)
    assert plain(bytes(2 << 20)) == bytes(2 << 20)
