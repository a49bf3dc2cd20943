"""Reads tar archives that tests have made."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tarfile


def read_member(archive: tarfile.TarFile, member: str | tarfile.TarInfo) -> bytes:
    """The content of a regular file."""
    file = archive.extractfile(member)
    assert file is not None, f"{member} is no regular file"
    return file.read()
