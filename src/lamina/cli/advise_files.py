"""The Dockerfile and the ignore file that `lamina advise` reads and writes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from lamina.client.contract import ContextSpec

_IGNORE = ".dockerignore"


class Files(NamedTuple):
    """The texts that advice is about, and their paths.

    `path` and `ignore_path` are absolute; `path` is "" if the Dockerfile is not a file.
    """

    folder: str
    path: str
    name: str
    text: str
    ignore_path: str
    ignore_text: str


def read_files(context: ContextSpec) -> Files:
    """Read the Dockerfile and the ignore file that a build of it would use."""
    data = context.dockerfile_data
    path = ""
    if data is None:
        path = context.dockerfile
        with open(path, "rb") as file:
            data = file.read()
    ignore_path = f"{path}{_IGNORE}"
    if not path or not os.path.isfile(ignore_path):
        ignore_path = os.path.join(context.path, _IGNORE)
    ignore_data = b""
    if os.path.isfile(ignore_path):
        with open(ignore_path, "rb") as file:
            ignore_data = file.read()
    return Files(
        context.path,
        path,
        os.path.relpath(path) if path else "Dockerfile",
        data.decode("utf-8", "surrogateescape"),
        ignore_path,
        ignore_data.decode("utf-8", "surrogateescape"),
    )
