"""Files about the result of a build: `--iidfile`, `--metadata-file`."""

from __future__ import annotations

import os

from lamina.base.errors import NotFound
from lamina.system.descriptors import descriptor_behind


def check_folder(path: str, flag: str) -> None:
    """Fail early if a file could not be written later. Raises NotFound."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise NotFound(f"--{flag} {path}: no such folder: {folder}")


def remove_stale(path: str) -> None:
    """Remove what an earlier build wrote, so that a failed one leaves nothing to be mistaken.

    A link stays, and so does what is no regular file. Raises OSError.
    """
    if descriptor_behind(path) is None and os.path.isfile(path):
        os.unlink(os.path.realpath(path))


def write_file(path: str, text: str) -> None:
    """Write a file whole, or to the pipe or device that it is.

    Raises InvalidInput, PermissionDenied, NotFound, Exhausted.
    """
    from lamina.exporters.file_sink import open_file

    with open_file(path) as sink:
        sink.write(text.encode("utf-8", "surrogateescape"))
