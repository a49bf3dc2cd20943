"""Files about the outcome of a build: `--iidfile`, `--metadata-file`."""

from __future__ import annotations

import os

from lamina.base.errors import NotFound
from lamina.system.descriptors import descriptor_behind


def check_folder(path: str, flag: str) -> None:
    """Raise NotFound early if a file could not be written later."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise NotFound(f"--{flag} {path}: no such directory: {folder}")


def remove_stale(path: str) -> None:
    """Remove an earlier build's file, so that it is not mistaken for this build's after a failure.

    Links, and everything that is not a regular file, are kept. Raises OSError.
    """
    if descriptor_behind(path) is None and os.path.isfile(path):
        os.unlink(os.path.realpath(path))


def write_file(path: str, text: str) -> None:
    """Write a file atomically; a pipe or a device in place.

    Raises InvalidInput, PermissionDenied, NotFound, Exhausted.
    """
    from lamina.exporters.file_sink import open_file

    with open_file(path) as sink:
        sink.write(text.encode("utf-8", "surrogateescape"))
