"""Child processes: their output is complete, and none is left."""

from __future__ import annotations

import os
import threading

import pytest

from lamina.base.errors import NotFound
from lamina.system.process import children_of, pump, spawn


def test_streams_and_status() -> None:
    out: list[bytes] = []
    err: list[bytes] = []
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY)
    script = "seq 1 50000; echo no >&2; exit 3"
    with spawn(["sh", "-c", script], stdin=null, stdout=out_write, stderr=err_write) as child:
        for fd in (null, out_write, err_write):
            os.close(fd)
        pump({out_read: out.append, err_read: err.append})
        assert child.wait() == 3
        assert child.wait() == 3
        child.kill()  # already reaped: the signal is sent to no process
    os.close(out_read)
    os.close(err_read)
    assert b"".join(out) == b"".join(b"%d\n" % n for n in range(1, 50001))
    assert b"".join(err) == b"no\n"


def test_leaving_the_block_kills_and_reaps() -> None:
    with pytest.raises(KeyError), spawn(["sleep", "1000"], stdin=0, stdout=1, stderr=2) as child:
        assert child.pid in children_of(os.getpid())
        raise KeyError
    assert child.wait() == 137
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


def test_killing_from_another_thread_ends_the_wait() -> None:
    with spawn(["sleep", "1000"], stdin=0, stdout=1, stderr=2) as child:
        threading.Timer(0.05, child.kill).start()
        assert child.wait() == 137


def test_low_descriptors_are_not_mixed_up() -> None:
    """Standard streams that are passed in another order arrive correctly."""
    read, write = os.pipe()
    saved = [os.dup(fd) for fd in (0, 1)]
    try:
        os.dup2(write, 0)
        with spawn(["sh", "-c", "echo a; echo b >&2"], stdin=1, stdout=0, stderr=0) as child:
            assert child.wait() == 0
    finally:
        for number, fd in enumerate(saved):
            os.dup2(fd, number)
            os.close(fd)
    os.close(write)
    with open(read, "rb") as file:
        assert file.read() == b"a\nb\n"


def test_an_unknown_command() -> None:
    with pytest.raises(NotFound, match="no-such-program"):
        spawn(["no-such-program"], stdin=0, stdout=1, stderr=2)
