"""`lamina tag`, `save` and `load`."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.cli.interrupt import interruptible
from lamina.cli.opening import open_local_store
from lamina.exporters.file_sink import open_sink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.cli.flags import Parsed

_INSTEAD = "build with --output type=docker,dest=FILE to have an archive of an image"
_PIECE = 1 << 20


def tag(parsed: Parsed) -> int:
    """Give an image another name."""
    name, new = parsed.arguments
    with open_local_store(parsed, "name images", "name them when you build: -t NAME") as store:
        store.tag_image(name, new)
    return 0


def save(parsed: Parsed) -> int:
    """Write images to an archive, or to standard output."""
    dest = parsed.text("output", "-")
    if dest == "-" and os.isatty(1):
        raise InvalidInput(
            "an archive is not written to a terminal", hint="add -o FILE, or redirect the output"
        )
    with (
        open_local_store(parsed, "save images", _INSTEAD) as store,
        interruptible() as interruption,
        open_sink(dest, interruption.cancel) as sink,
    ):
        store.save_images(parsed.arguments, sink, interruption.cancel)
    return 0


def load(parsed: Parsed) -> int:
    """Store the images of an archive, and print their names."""
    from lamina.base.reference import parse_reference

    # Standard input is read before signals are handled, so an interrupt ends that at once.
    with (
        _input(parsed.text("input")) as path,
        open_local_store(parsed, "load images", _INSTEAD) as store,
        interruptible() as interruption,
    ):
        names = store.load_images(path, interruption.cancel)
    if not parsed.switch("quiet"):
        for name in names:
            if name.startswith("sha256:"):
                print(f"Loaded image ID: {name}")
            else:
                print(f"Loaded image: {parse_reference(name).familiar}")
    return 0


@contextmanager
def _input(path: str) -> Iterator[str]:
    """The archive, which is read several times: standard input is copied to a file."""
    if path:
        yield os.path.abspath(path)
        return
    if os.isatty(0):
        raise InvalidInput(
            "an archive is not read from a terminal", hint="add -i FILE, or redirect the input"
        )
    from lamina.system.removal import temporary_folder

    with temporary_folder("lamina-load-") as folder:
        copied = os.path.join(folder, "image.tar")
        with open(copied, "wb") as file:
            while data := sys.stdin.buffer.read(_PIECE):
                file.write(data)
        yield copied
