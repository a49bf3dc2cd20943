"""Secrets of the client: files, variables, and pipes, which can be read only once."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from lamina.base.errors import Cancelled, InvalidInput, NotFound
from lamina.client.contract import SecretSpec, SessionProviders
from lamina.client.providers import EmbeddedSession
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def session(path: object) -> EmbeddedSession:
    return EmbeddedSession({}, SessionProviders((SecretSpec("s", path=str(path)),)))


@pytest.fixture
def pipe() -> Iterator[tuple[str, int]]:
    """A pipe as a shell passes it for `<(…)`: (its path, the end to write to)."""
    reader, writer = os.pipe()
    yield f"/dev/fd/{reader}", writer
    os.close(reader)


def test_a_file_and_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "s").write_bytes(b"\0\xff")
    (tmp_path / "empty").touch()
    assert session(tmp_path / "s").secret("s", Cancellation()) == b"\0\xff"
    assert session(tmp_path / "empty").secret("s", Cancellation()) == b""
    assert session(tmp_path / "s").secret("other", Cancellation()) is None
    with pytest.raises(NotFound):
        session(tmp_path / "none").secret("s", Cancellation())
    monkeypatch.setenv("TOKEN", "t")
    by_name = EmbeddedSession(
        {}, SessionProviders((SecretSpec("s", env="TOKEN"), SecretSpec("n", env="NONE")))
    )
    assert by_name.secret("s", Cancellation()) == b"t"
    assert by_name.secret("n", Cancellation()) is None


def test_a_pipe_is_read_once_and_remembered(pipe: tuple[str, int]) -> None:
    path, writer = pipe
    os.write(writer, b"hello")
    os.close(writer)
    lent = session(path)
    assert [lent.secret("s", Cancellation()) for _ in range(3)] == [b"hello"] * 3


def test_all_of_a_slow_pipe_is_read(pipe: tuple[str, int]) -> None:
    path, writer = pipe

    def write() -> None:
        for part in (b"one ", b"two ", b"three"):
            time.sleep(0.15)
            os.write(writer, part)
        os.close(writer)

    thread = threading.Thread(target=write)
    thread.start()
    assert session(path).secret("s", Cancellation()) == b"one two three"
    thread.join()


def test_an_empty_pipe_is_no_secret(pipe: tuple[str, int]) -> None:
    path, writer = pipe
    os.close(writer)
    assert session(path).secret("s", Cancellation()) is None


def test_a_named_pipe_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    thread = threading.Timer(0.3, path.write_bytes, [b"late"])
    thread.start()
    assert session(path).secret("s", Cancellation()) == b"late"
    thread.join()


def test_waiting_for_a_pipe_is_cancelled(tmp_path: Path) -> None:
    """Both the thread that reads it, and one that waits for that thread."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    lent, cancel = session(path), Cancellation()
    ended: list[type] = []

    def read() -> None:
        try:
            lent.secret("s", cancel)
        except Cancelled as error:
            ended.append(type(error))

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    cancel.cancel()
    for thread in threads:
        thread.join(2)
    assert ended == [Cancelled, Cancelled]


@pytest.mark.parametrize("endless", ["/dev/zero", ""])
def test_a_large_secret_is_refused(tmp_path: Path, endless: str) -> None:
    path = endless or str(tmp_path / "big")
    if not endless:
        (tmp_path / "big").write_bytes(b"x" * ((500 << 10) + 1))
    with pytest.raises(InvalidInput, match="larger than 500 KiB"):
        session(path).secret("s", Cancellation())
