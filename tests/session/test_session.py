"""A client's session through a real tunnel: a call that carries a connection."""

from __future__ import annotations

import hashlib
import mmap
import os
import socket
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from lamina.api import auth, control, exporter, filesync, upload
from lamina.api.stream import encode_bytes
from lamina.base.errors import Cancelled, InvalidInput, NotFound, PermissionDenied, Unavailable
from lamina.session.contract import FolderRequest, ProvidedFolder
from lamina.session.folder_sender import opener_of, send
from lamina.session.mirrors import Mirrors
from lamina.session.opening import open_session
from lamina.session.remote_session import Login, RemoteSession
from lamina.session.services import credentials_service, health_service, session_services
from lamina.session.table import SessionTable
from lamina.session.walk import walk
from lamina.system.cancel import Cancellation
from lamina.system.unix_socket import bind_unix, connect_unix
from lamina.wire.contract import Code, StatusError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lamina.session.contract import ContentStore
    from lamina.wire.contract import Channel, Handler, ServerCall

    Connect = Callable[[Mapping[str, Handler]], Channel]


class Client:
    """Implements `lamina.session.contract.Session` with the values of a test."""

    id = ""
    in_process = False

    def __init__(self, **folders: Path) -> None:
        self.folders = folders
        self.secrets: dict[str, bytes] = {}
        self.agents: dict[str, str] = {}

    def folder(
        self, name: str, wanted: FolderRequest, cancel: Cancellation, progress: object = None
    ) -> ProvidedFolder:
        if name not in self.folders:
            raise NotFound(f"no folder {name}")
        return ProvidedFolder(str(self.folders[name]))

    def secret(self, secret_id: str, cancel: Cancellation) -> bytes | None:
        if secret_id == "forbidden":
            raise PermissionDenied("not for you")
        return self.secrets.get(secret_id)

    def ssh_socket(self, agent_id: str, cancel: Cancellation) -> str | None:
        return self.agents.get(agent_id)

    def upload(self, host: str, path: str, cancel: Cancellation) -> Iterator[bytes]:
        raise NotFound(f"no upload {path}")

    def content(self, store: str) -> ContentStore:
        raise NotFound(f"no layout {store}")


class Daemon(NamedTuple):
    table: SessionTable
    channel: Channel
    mirrors: Mirrors


@pytest.fixture
def daemon(connect: Connect, tmp_path: Path) -> Daemon:
    mirrors = Mirrors(str(tmp_path / "mirrors"))
    (tmp_path / "scratch").mkdir()
    table = SessionTable(mirrors, str(tmp_path / "scratch"))
    return Daemon(table, connect({control.SESSION: table.serve}), mirrors)


@contextmanager
def opened(
    daemon: Daemon,
    client: Client,
    session_id: str = "s",
    key: str = "k",
    more: Mapping[str, Handler] | None = None,
) -> Iterator[RemoteSession]:
    handlers: dict[str, Handler] = {**session_services(client), **health_service(), **(more or {})}
    with open_session(daemon.channel, handlers, session_id, shared_key=key):
        yield daemon.table.get(session_id, Cancellation())
    deadline = time.monotonic() + 5
    while session_id in daemon.table.ids():
        assert time.monotonic() < deadline, "the session stays"
        time.sleep(0.005)


def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "a").write_text("a")
    (folder / "d").mkdir()
    (folder / "d/b.md").write_text("b")
    return folder


def names(folder: ProvidedFolder) -> list[str]:
    return sorted(
        os.path.relpath(os.path.join(at, name), folder.path)
        for at, folders, files in os.walk(folder.path)
        for name in (*folders, *files)
    )


def test_folders_are_fetched_filtered_and_kept(daemon: Daemon, tmp_path: Path) -> None:
    client = Client(context=context(tmp_path))
    cancel = Cancellation()
    with opened(daemon, client) as session:
        whole = session.folder("context", FolderRequest(), cancel)
        assert whole.filtered
        assert names(whole) == ["a", "d", "d/b.md"]
        some = session.folder("context", FolderRequest(exclude_patterns=("**/*.md",)), cancel)
        assert names(some) == ["a", "d"]
        assert some.path != whole.path
        # A session keeps its first copy of a directory.
        (client.folders["context"] / "new").write_text("new")
        assert session.folder("context", FolderRequest(), cancel) == whole
        with pytest.raises(NotFound):
            session.folder("other", FolderRequest(), cancel)
    with opened(daemon, client, "s2") as session:
        again = session.folder("context", FolderRequest(), cancel)
        assert again.path == whole.path
        assert names(again) == ["a", "d", "d/b.md", "new"]
        usage = {used.id: used for used in daemon.mirrors.usage()}
        mine = usage[os.path.basename(os.path.dirname(again.path))]
        assert (mine.in_use, mine.name, mine.size, mine.usage_count) == (True, "context", 5, 2)
    assert not any(used.in_use for used in daemon.mirrors.usage())


def test_concurrent_sessions_have_separate_mirrors(daemon: Daemon, tmp_path: Path) -> None:
    client = Client(context=context(tmp_path))
    with ExitStack() as stack:
        paths = {
            stack.enter_context(opened(daemon, client, name))
            .folder("context", FolderRequest(), Cancellation())
            .path
            for name in ("one", "two")
        }
        assert len(paths) == 2
    with opened(daemon, client, "other", key="another") as session:
        assert session.folder("context", FolderRequest(), Cancellation()).path not in paths


def test_a_mirror_lasts_as_long_as_a_build_that_holds_it(daemon: Daemon, tmp_path: Path) -> None:
    client = Client(context=context(tmp_path))
    with ExitStack() as stack:
        with opened(daemon, client) as session:
            held = stack.enter_context(session.held())
            served = held.folder("context", FolderRequest(), Cancellation())
        with pytest.raises(Unavailable):
            held.folder("context", FolderRequest(include_patterns=("a",)), Cancellation())
        with opened(daemon, client, "s2") as session:
            other = session.folder("context", FolderRequest(), Cancellation())
        assert other.path != served.path
        assert names(served) == ["a", "d", "d/b.md"]
    assert not any(used.in_use for used in daemon.mirrors.usage())
    with pytest.raises(Unavailable), session.held():
        pass


def test_patterns_beyond_ascii_arrive(daemon: Daemon, tmp_path: Path) -> None:
    client = Client(context=context(tmp_path))
    (client.folders["context"] / "\u00fc 1").write_text("x")
    with opened(daemon, client) as session:
        wanted = FolderRequest(include_patterns=("\u00fc 1", "a%20"))
        assert names(session.folder("context", wanted, Cancellation())) == ["\u00fc 1"]


def test_secrets(daemon: Daemon) -> None:
    client = Client()
    client.secrets = {"token": b"\0\xff", "empty": b"", "big": b"x" * (500 * 1024 + 1)}
    with opened(daemon, client) as session:
        assert session.secret("token", Cancellation()) == b"\0\xff"
        assert session.secret("empty", Cancellation()) == b""
        assert session.secret("missing", Cancellation()) is None
        with pytest.raises(PermissionDenied, match="not for you"):
            session.secret("forbidden", Cancellation())
        with pytest.raises(InvalidInput):
            session.secret("big", Cancellation())


def test_an_ssh_agent(daemon: Daemon, tmp_path: Path) -> None:
    path = str(tmp_path / "agent")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def echo() -> None:
            for _ in range(3):
                connection, _address = listener.accept()
                with connection:
                    while data := connection.recv(65536):
                        connection.sendall(data.upper())

        agent = threading.Thread(target=echo)
        agent.start()
        client = Client()
        client.agents = {"default": path}
        with opened(daemon, client) as session:
            assert session.ssh_socket("other", Cancellation()) is None
            here = session.ssh_socket("", Cancellation())
            assert here is not None
            assert session.ssh_socket("default", Cancellation()) == here
            for size in (1, 100_000):
                with socket.socket(socket.AF_UNIX) as caller:
                    caller.connect(here)
                    caller.sendall(b"a" * size)
                    caller.shutdown(socket.SHUT_WR)
                    got = b""
                    while data := caller.recv(65536):
                        got += data
                    assert got == b"A" * size
            with socket.socket(socket.AF_UNIX) as caller:  # open when the session ends
                caller.connect(here)
                caller.sendall(b"x")
                assert caller.recv(1) == b"X"
        agent.join()
        assert not os.path.exists(here)


def test_an_ssh_agent_where_paths_are_long(connect: Connect, tmp_path: Path) -> None:
    far = tmp_path / ("client" * 30)
    near = tmp_path / ("scratch" * 30)
    for folder in (far, near):
        folder.mkdir()
    table = SessionTable(Mirrors(str(tmp_path / "mirrors")), str(near))
    daemon = Daemon(table, connect({control.SESSION: table.serve}), Mirrors(str(tmp_path)))
    with socket.socket(socket.AF_UNIX) as listener:
        bind_unix(listener, str(far / "agent"))
        listener.listen()
        client = Client()
        client.agents = {"default": str(far / "agent")}
        with opened(daemon, client) as session, socket.socket(socket.AF_UNIX) as caller:
            here = session.ssh_socket("default", Cancellation())
            assert here is not None
            assert here.startswith(str(near))
            connect_unix(caller, here)
            caller.sendall(b"x")
            connection, _ = listener.accept()
            with connection:
                assert connection.recv(1) == b"x"


def test_an_agent_that_ends_first(daemon: Daemon, tmp_path: Path) -> None:
    path = str(tmp_path / "agent")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def once() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"bye" * 20_000)

        agent = threading.Thread(target=once)
        agent.start()
        client = Client()
        client.agents = {"default": path}
        with opened(daemon, client) as session, socket.socket(socket.AF_UNIX) as caller:
            here = session.ssh_socket("default", Cancellation())
            assert here is not None
            caller.connect(here)
            got = b""
            while data := caller.recv(65536):
                got += data
            assert got == b"bye" * 20_000
        agent.join()


def test_logins(daemon: Daemon) -> None:
    logins = {"registry-1.docker.io": Login("me", "pass"), "ghcr.io": Login("", "identity")}
    service = credentials_service(logins.get)
    with opened(daemon, Client(), more=service) as session:
        assert session.login("registry-1.docker.io") == Login("me", "pass")
        assert session.login("ghcr.io") == Login("", "identity")
        assert session.login("other") is None
        assert session.token(auth.FetchTokenRequest(host="ghcr.io"), Cancellation()) is None
        assert session.token_authority("ghcr.io", b"salt") is None
    with opened(daemon, Client(), "s2") as session:
        assert session.login("ghcr.io") is None


def test_uploads_and_outputs_that_the_client_finds(daemon: Daemon) -> None:
    def pull(call: ServerCall) -> None:
        assert dict(call.metadata)[upload.KEY_PATH] == "/context"
        for piece in (b"one", b"", b"two"):
            call.send(encode_bytes(piece))

    response: list[Any] = []

    def find(call: ServerCall) -> None:
        from lamina.api.message import request_of
        from lamina.wire.protobuf import encode

        response.append(request_of(call, exporter.FindExportersRequest, exporter.SCHEMA))
        answer = exporter.FindExportersResponse((exporter.ExporterRequest("image"),))
        call.send(encode(answer, exporter.SCHEMA))

    services = {upload.PULL: pull, exporter.FIND_EXPORTERS: find}
    with opened(daemon, Client(), more=services) as session:
        cancel = Cancellation()
        assert b"".join(session.upload("buildkit-session", "/context", cancel)) == b"onetwo"
        request = exporter.FindExportersRequest((("k", b"v"),), ("r",))
        assert session.find_exporters(request, cancel) == (exporter.ExporterRequest("image"),)
        assert response == [request]
        session.finalize_export((), cancel)  # which the client does not request
        assert session.supports("/moby.exporter.v1.exporter/findexporters")
        with pytest.raises(NotFound), session.open_file(0, (), cancel):
            pass


def test_waiting_for_a_session(daemon: Daemon) -> None:
    with pytest.raises(NotFound):
        daemon.table.get("nobody", Cancellation(), wait=0.01)
    cancel = Cancellation()
    timer = threading.Timer(0.05, cancel.cancel)
    timer.start()
    with pytest.raises(Cancelled):
        daemon.table.get("nobody", cancel)
    timer.join()
    with opened(daemon, Client()), daemon.table.joined("context:s", Cancellation()) as session:
        assert session.id == "s"
    with daemon.table.joined("", Cancellation()) as absent:
        assert absent.secret("x", Cancellation()) is None
        assert absent.ssh_socket("default", Cancellation()) is None
        assert absent.login("x") is None
        with pytest.raises(NotFound):
            absent.folder("context", FolderRequest(), Cancellation())


def test_an_id_is_taken_once(daemon: Daemon) -> None:
    with opened(daemon, Client()), open_session(daemon.channel, {}, "s") as second:
        assert second.wait(5)
        assert daemon.table.get("s", Cancellation()).secret("x", Cancellation()) is None
    with daemon.channel.open(control.SESSION) as call, pytest.raises(StatusError) as caught:
        call.receive()
    assert caught.value.code is Code.INVALID_ARGUMENT


def test_a_client_that_disconnects_during_a_request(daemon: Daemon, tmp_path: Path) -> None:
    began = threading.Event()

    def never(call: ServerCall) -> None:
        began.set()
        while call.receive() is not None:
            continue

    failures: list[BaseException] = []

    def ask(session: RemoteSession) -> None:
        try:
            session.folder("context", FolderRequest(), Cancellation())
        except BaseException as error:
            failures.append(error)

    with opened(daemon, Client(), more={filesync.DIFF_COPY: never}) as session:
        asking = threading.Thread(target=ask, args=(session,))
        asking.start()
        assert began.wait(5)
    asking.join(5)
    assert [type(error) for error in failures] == [Unavailable]
    assert session.closed
    with pytest.raises(Unavailable):
        session.secret("x", Cancellation())


def test_cancelling_a_fetch(daemon: Daemon) -> None:
    def never(call: ServerCall) -> None:
        while call.receive() is not None:
            continue

    cancel = Cancellation()
    with opened(daemon, Client(), more={filesync.DIFF_COPY: never}) as session:
        timer = threading.Timer(0.05, cancel.cancel)
        timer.start()
        with pytest.raises(Cancelled):
            session.folder("context", FolderRequest(), cancel)
        timer.join()
        assert not any(used.in_use for used in daemon.mirrors.usage())


def test_only_unused_mirrors_are_removed(daemon: Daemon, tmp_path: Path) -> None:
    client = Client(context=context(tmp_path))
    with opened(daemon, client) as session:
        session.folder("context", FolderRequest(), Cancellation())
        (used,) = daemon.mirrors.usage()
        assert not daemon.mirrors.remove(used.id)
    assert daemon.mirrors.remove(used.id)
    assert not daemon.mirrors.remove(used.id)
    assert daemon.mirrors.usage() == []
    assert os.listdir(tmp_path / "mirrors") == []


def test_a_mirror_from_before_a_restart_is_not_trusted(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(context=context(tmp_path))
    with opened(daemon, client) as session:
        served = session.folder("context", FolderRequest(), Cancellation())
        digest = hashlib.sha256(b"a").hexdigest()
    # The metadata is equal, but the content is not, as a crash of the machine may leave it.
    status = os.stat(os.path.join(served.path, "a"))
    with open(os.path.join(served.path, "a"), "wb") as file:
        file.write(b"\0")
    os.utime(os.path.join(served.path, "a"), ns=(status.st_atime_ns, status.st_mtime_ns))
    monkeypatch.setattr("lamina.session.mirrors._boot", lambda: "another")
    with opened(daemon, client, "s2") as session:
        served = session.folder("context", FolderRequest(), Cancellation())
        with open(os.path.join(served.path, "a"), "rb") as file:
            assert hashlib.sha256(file.read()).hexdigest() == digest


def test_mirrors_follow_changes_of_extended_attributes(daemon: Daemon, tmp_path: Path) -> None:
    client = Client(context=context(tmp_path))
    probe = client.folders["context"] / "a"

    def fetched(session_id: str) -> list[str]:
        with opened(daemon, client, session_id) as session:
            served = session.folder("context", FolderRequest(), Cancellation())
            return os.listxattr(os.path.join(served.path, "a"))

    assert fetched("none yet") == []
    try:
        os.setxattr(probe, "user.one", b"1")
    except OSError:
        pytest.skip("no extended attributes here")
    assert fetched("one") == ["user.one"]
    os.removexattr(probe, "user.one")
    assert fetched("gone") == []


TIME = 1_716_541_677_582_709_305


def _alike(path: Path, content: bytes) -> None:
    """Change a file in place: its name, inode, size and time stay equal."""
    if path.exists():
        with open(path, "r+b") as file, mmap.mmap(file.fileno(), len(content)) as mapped:
            mapped[:] = content
    else:
        path.write_bytes(content)
    os.utime(path, ns=(TIME, TIME))


@pytest.mark.parametrize("place", ["", "/dev/shm"])
def test_files_that_are_alike_in_every_status(daemon: Daemon, tmp_path: Path, place: str) -> None:
    """Also if the file system does not show changes: a tmpfs."""
    with tempfile.TemporaryDirectory(dir=place or tmp_path) as root:
        for number, content in enumerate((b"one", b"two", b"one", b"two")):
            folder = Path(root) / "context"
            folder.mkdir(exist_ok=True)
            _alike(folder / "f", content)
            with opened(daemon, Client(context=folder), str(number)) as session:
                served = session.folder("context", FolderRequest(), Cancellation())
                assert (Path(served.path) / "f").read_bytes() == content


@pytest.mark.parametrize("place", ["", "/dev/shm"])
def test_unchanged_files_are_not_sent_again(daemon: Daemon, tmp_path: Path, place: str) -> None:
    with tempfile.TemporaryDirectory(dir=place or tmp_path) as root:
        (Path(root) / "f").write_bytes(bytes(1 << 20))
        (Path(root) / "whole second").write_bytes(bytes(1 << 20))
        os.utime(Path(root) / "whole second", (5, 5))
        time.sleep(0.06)  # a file that has just changed could change again unnoticed
        sent = []
        for number in range(2):
            with opened(daemon, Client(context=Path(root)), str(number)) as session:
                response: list[int] = []
                session.folder("context", FolderRequest(), Cancellation(), response.append)
                sent.append(response[-1])
    assert sent[0] > 2 << 20
    assert sent[1] < 1000


def test_mirrors_of_clients_without_validators_are_separate(daemon: Daemon, tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        folder = tmp_path / name / "context"
        folder.mkdir(parents=True)
        _alike(folder / "f", name.encode())
        # As clients of BuildKit, which have no validators.
        handlers: dict[str, Handler] = {
            filesync.DIFF_COPY: lambda call, folder=folder: send(
                call, walk(str(folder)), opener_of(str(folder))
            ),
            **health_service(),
        }
        with open_session(daemon.channel, handlers, name, name=name):
            session = daemon.table.get(name, Cancellation())
            served = session.folder("context", FolderRequest(), Cancellation())
            found.append((Path(served.path) / "f").read_text())
    assert found == ["one", "two"]
