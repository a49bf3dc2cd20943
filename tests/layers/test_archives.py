"""Recognising archives, and their age."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.layers.archives import is_tar, newest_time

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def make_tar(*members: tuple[str, bytes, int]) -> bytes:
    """An archive of members with a name, a type and a time."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, kind, seconds in members:
            info = tarfile.TarInfo(name)
            info.type, info.mtime, info.linkname = kind, seconds, "a"
            archive.addfile(info, io.BytesIO())
    return packed.getvalue()


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_the_newest_of_its_files(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    data = pack(
        make_tar(
            ("a", tarfile.REGTYPE, 50),
            ("b", tarfile.REGTYPE, 70),
            ("c", tarfile.REGTYPE, 60),
            ("d", tarfile.DIRTYPE, 90),
            ("e", tarfile.SYMTYPE, 91),
            ("f", tarfile.LNKTYPE, 92),
        )
    )
    assert newest_time(io.BytesIO(data)) == 70 * 10**9
    (tmp_path / "x").write_bytes(data)
    assert is_tar(str(tmp_path / "x"))


@pytest.mark.parametrize(
    "data",
    [b"", b"text", make_tar(("d", tarfile.DIRTYPE, 9)), make_tar(("a", b"0", 9))[:700] + b"x" * 99],
)
def test_archives_without_a_newest_file(data: bytes) -> None:
    assert newest_time(io.BytesIO(data)) is None


@given(st.binary(max_size=200), st.integers(0, 1500), st.sampled_from([bytes, gzip.compress]))
def test_damage_is_no_accident(noise: bytes, at: int, pack: Callable[[bytes], bytes]) -> None:
    data = pack(make_tar(("a", b"0", 50), ("b", b"5", 60)))
    newest_time(io.BytesIO(data[:at] + noise + data[at + len(noise) :]))
