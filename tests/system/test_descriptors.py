from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from lamina.system.descriptors import can_write, descriptor_behind, write_all

if TYPE_CHECKING:
    from pathlib import Path


def test_paths_that_lead_to_descriptors(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/dev/stdout")
    (tmp_path / "far").symlink_to("link")
    (tmp_path / "folder").symlink_to("/proc/self/fd")
    for path in ("/dev/stdout", "/proc/self/fd/1", "/dev/fd/1", link, tmp_path / "far"):
        assert descriptor_behind(str(path)) == 1
    assert descriptor_behind(str(tmp_path / "folder/7")) == 7
    (tmp_path / "round").symlink_to("round")
    for other in (tmp_path / "round", tmp_path / "none", "/dev/null", "/proc/self/fd/x"):
        assert descriptor_behind(str(other)) is None


def test_writing_waits_where_the_descriptor_does_not_block() -> None:
    reader, writer = os.pipe2(os.O_NONBLOCK)
    os.set_blocking(reader, True)
    assert can_write(writer)
    assert not can_write(reader)
    data = os.urandom(1 << 20)
    got = bytearray()

    def read() -> None:
        while piece := os.read(reader, 1 << 16):
            got.extend(piece)

    thread = threading.Thread(target=read)
    waits: list[None] = []

    def begin() -> None:
        if not waits:
            thread.start()
        waits.append(None)

    write_all(writer, data, begin)
    os.close(writer)
    thread.join()
    os.close(reader)
    assert bytes(got) == data
    assert waits
    assert not can_write(writer)
