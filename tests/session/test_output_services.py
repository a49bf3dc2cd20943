"""Outputs and content stores of a client, over a connection."""

from __future__ import annotations

import io
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from lamina.api import content as api
from lamina.api.filesync import FILE_SEND, KEY_EXPORTER_ID, SEND_DIFF_COPY
from lamina.base.digest import Digest, digest_of
from lamina.base.errors import InvalidInput, LaminaError, NotFound, Unavailable
from lamina.daemon.session_receiver import SessionReceiver
from lamina.exporters.contract import ExportedTree
from lamina.exporters.destination import LocalOutput, TarOutput
from lamina.session.layouts import content_service
from lamina.session.mirrors import Mirrors
from lamina.session.output_services import FileTarget, FolderTarget, Target, take_outputs
from lamina.session.remote_content import RemoteContent
from lamina.session.remote_session import Identity, RemoteSession
from lamina.system.cancel import Cancellation
from lamina.wire.contract import Code, StatusError
from lamina.wire.protobuf import encode
from tests.session.trees import look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from lamina.wire.contract import Channel, Handler

    Connect = Callable[[Mapping[str, Handler]], Channel]


def session(connect: Connect, tmp_path: Path, targets: dict[int, Target]) -> RemoteSession:
    handlers = take_outputs(targets)
    identity = Identity("s", methods=frozenset(handlers))
    return RemoteSession(identity, connect(handlers), Mirrors(str(tmp_path / "m")), str(tmp_path))


class Shown:
    """The progress of transfers, by their names."""

    def __init__(self) -> None:
        self.sizes: dict[str, list[int]] = {}

    @contextmanager
    def __call__(self, text: str, /) -> Iterator[Callable[[int], None]]:
        yield self.sizes.setdefault(text, []).append


def result(tmp_path: Path, name: str, **files: str) -> str:
    root = tmp_path / name
    (root / "d").mkdir(parents=True)
    for file, text in files.items():
        (root / "d" / file).write_text(text)
    os.symlink("d", root / "l")
    return str(root)


def test_a_folder_is_added_to_existing_files(connect: Connect, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "d").mkdir(parents=True)
    (out / "d/old").write_text("old")
    remote = session(connect, tmp_path, {3: FolderTarget(str(out))})
    tree = ExportedTree("", result(tmp_path, "r", new="new"), epoch=7)
    receiver = SessionReceiver(remote, Cancellation())
    shown = Shown()
    receiver.folder(LocalOutput("3"), (tree,), shown, Cancellation())
    assert list(shown.sizes) == ["copying files"]
    assert shown.sizes["copying files"][-1] > len("new")
    assert sorted(look(out)) == ["d", "d/new", "d/old", "l"]
    assert os.lstat(out / "d/new").st_mtime == 7
    assert os.lstat(out / "d").st_mtime == 7
    with pytest.raises(NotFound, match="no output 4"):
        receiver.folder(LocalOutput("4"), (tree,), Shown(), Cancellation())


def test_platforms_are_written_to_separate_directories(connect: Connect, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "stale").write_text("stale")
    remote = session(connect, tmp_path, {0: FolderTarget(str(out), delete=True)})
    root = result(tmp_path, "r", a="a")
    os.link(os.path.join(root, "d/a"), os.path.join(root, "d/b"))
    trees = (
        ExportedTree("linux_b", root),
        ExportedTree("linux_a", result(tmp_path, "q", x="x")),
        ExportedTree("linux_c", None),
    )
    receiver = SessionReceiver(remote, Cancellation())
    receiver.folder(LocalOutput("0", delete=True), trees, Shown(), Cancellation())
    assert sorted(os.listdir(out)) == ["linux_a", "linux_b", "linux_c"]
    assert look(out / "linux_a") == look(tmp_path / "q")
    assert os.path.samefile(out / "linux_b/d/a", out / "linux_b/d/b")


def test_each_platform_is_shown_by_its_name(connect: Connect, tmp_path: Path) -> None:
    remote = session(connect, tmp_path, {0: FolderTarget(str(tmp_path / "out"))})
    trees = (
        ExportedTree("linux_a", result(tmp_path, "r", a="a"), platform="linux/a"),
        ExportedTree("linux_b", result(tmp_path, "q", b="bb"), platform="linux/b"),
    )
    shown = Shown()
    receiver = SessionReceiver(remote, Cancellation())
    receiver.folder(LocalOutput("0"), trees, shown, Cancellation())
    assert sorted(os.listdir(tmp_path / "out")) == ["linux_a", "linux_b"]
    assert list(shown.sizes) == ["copying files linux/a", "copying files linux/b"]
    assert all(sizes == sorted(sizes) for sizes in shown.sizes.values())


def test_a_daemon_that_would_delete_its_own_files_is_refused(
    connect: Connect, tmp_path: Path
) -> None:
    channel = connect(take_outputs({0: FolderTarget(str(tmp_path / "out"), delete=True)}))
    with channel.open(SEND_DIFF_COPY, ((KEY_EXPORTER_ID, "0"),)) as call:
        with pytest.raises(StatusError) as caught:
            call.receive()
        assert caught.value.code is Code.FAILED_PRECONDITION
    assert SEND_DIFF_COPY.startswith(f"/{FILE_SEND}/")


def test_a_file_is_whole_or_not_at_all(connect: Connect, tmp_path: Path) -> None:
    done: list[tuple[dict[str, str], bytes]] = []

    @contextmanager
    def open_file(metadata: Mapping[str, str]) -> Iterator[io.BytesIO]:
        sink = io.BytesIO()
        yield sink
        done.append((dict(metadata), sink.getvalue()))

    remote = session(connect, tmp_path, {0: FileTarget(open_file)})
    cancel = Cancellation()
    data = os.urandom(600_000)
    with remote.open_file(0, (("image.name", "b\u00fc"),), cancel) as sink:
        sink.write(data)
        sink.write(b"")
    assert done == [({"image.name": "b\u00fc"}, data)]
    with SessionReceiver(remote, cancel).file(
        TarOutput("0"),
        {"containerimage.digest": "sha256:1", "containerimage.descriptor": {"size": 1}},
    ) as other:
        other.write(b"tar")
    metadata = {
        "containerimage.digest": "sha256:1",
        "containerimage.descriptor": "eyJzaXplIjogMX0=",
    }
    assert done[1] == (metadata, b"tar")
    with pytest.raises(InvalidInput, match="no"), remote.open_file(0, (), cancel) as sink:
        sink.write(b"half")
        raise InvalidInput("no")
    remote.close()
    assert len(done) == 2


# Content stores.


@pytest.fixture
def store(connect: Connect, tmp_path: Path) -> RemoteContent:
    (tmp_path / "layout").mkdir()
    return RemoteContent(connect(content_service({"oci:x": str(tmp_path / "layout")})), "oci:x")


def test_a_blob_is_written_and_read(store: RemoteContent, tmp_path: Path) -> None:
    data = os.urandom(700_001)
    digest, cancel = digest_of(data), Cancellation()
    with pytest.raises(NotFound):
        store.size(digest, cancel)
    assert store.write(digest, len(data), (data[:5], data[5:]), cancel)
    assert (tmp_path / "layout/blobs/sha256" / digest.hex).read_bytes() == data
    assert store.size(digest, cancel) == len(data)
    assert b"".join(store.read(digest, cancel)) == data
    assert b"".join(store.read(digest, cancel, offset=700_000)) == data[700_000:]
    assert b"".join(store.read(digest, cancel, offset=9, size=300_000)) == data[9:300_009]
    with pytest.raises(LaminaError):
        list(store.read(digest, cancel, offset=700_002))
    assert not store.write(digest, len(data), (data,), cancel)
    assert os.listdir(tmp_path / "layout/ingest") == []


def test_the_wrong_bytes_are_not_kept(store: RemoteContent, tmp_path: Path) -> None:
    digest = digest_of(b"right")
    with pytest.raises(InvalidInput):
        store.write(digest, 5, (b"wrong",), Cancellation())
    with pytest.raises(InvalidInput):
        store.write(digest, 9, (b"right",), Cancellation())
    assert not (tmp_path / "layout/blobs").exists()


def test_an_interrupted_write_resumes(store: RemoteContent) -> None:
    data = os.urandom(600_000)
    digest = digest_of(data)

    def breaks_off() -> Iterator[bytes]:
        yield data[:300_000]
        raise OSError("the disk")

    with pytest.raises(OSError, match="the disk"):
        store.write(digest, len(data), breaks_off(), Cancellation())
    deadline = time.monotonic() + 5
    while True:
        try:
            assert store.write(digest, len(data), (data,), Cancellation())
            break
        except Unavailable:  # the first call's end has not arrived yet
            assert time.monotonic() < deadline
    assert b"".join(store.read(digest, Cancellation())) == data


@pytest.mark.parametrize("digest", ["", "sha256:../../x", "../x", "sha256:" + "0" * 63])
def test_names_of_blobs_that_lead_elsewhere_are_refused(
    connect: Connect, tmp_path: Path, digest: str
) -> None:
    channel = connect(content_service({"x": str(tmp_path)}))
    metadata = ((api.KEY_STORE, "x"),)
    for method, request in (
        (api.INFO, api.InfoRequest(digest)),
        (api.READ, api.ReadContentRequest(digest)),
    ):
        with channel.open(method, metadata) as call:
            call.send(encode(request, api.SCHEMA))
            call.finish_sending()
            with pytest.raises(StatusError) as caught:
                call.receive()
            assert caught.value.code is Code.INVALID_ARGUMENT


def test_a_store_that_is_not_offered(connect: Connect, tmp_path: Path) -> None:
    store = RemoteContent(connect(content_service({"x": str(tmp_path)})), "y")
    with pytest.raises(NotFound, match="unknown store y"):
        store.size(Digest("sha256:" + "0" * 64), Cancellation())
