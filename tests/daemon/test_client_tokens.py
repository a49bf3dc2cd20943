"""Registries with token authentication: the client fetches tokens, and the daemon gets no
password."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.commands import RemoteLamina
from tests.daemon_process import DaemonProcess
from tests.token_registry import TokenService, running_token_registry, write_login

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[tuple[str, TokenService]]:
    with running_token_registry(tmp_path / "registry") as running:
        yield running


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    with DaemonProcess(tmp_path / "store") as daemon:
        yield daemon


class Client(RemoteLamina):
    """The command with separate credentials."""

    def __init__(
        self, root: Path, daemon: DaemonProcess, host: str, password: str = "secret", **entry: str
    ) -> None:
        config = write_login(root / "docker", host, password, **entry)
        super().__init__(root, daemon.address, DOCKER_CONFIG=str(config))


@pytest.mark.parametrize("entry", [{}, {"identitytoken": "identity"}])
def test_the_password_stays_with_the_client(
    registry: tuple[str, TokenService],
    daemon: DaemonProcess,
    context: Callable[..., Path],
    tmp_path: Path,
    entry: dict[str, str],
) -> None:
    host, service = registry
    client = Client(tmp_path, daemon, host, **entry)
    client.build(context("RUN echo mine > /file\n"), "-t", f"{host}/team/app", "--push")
    scopes = {scope for asked in service.asked for scope in asked.scopes}
    # The registry names the actions of its challenge in random order.
    assert scopes & {"repository:team/app:pull,push", "repository:team/app:push,pull"}
    with DaemonProcess(tmp_path / "elsewhere", socket_name="e.sock") as other:
        client.address = other.address
        using = tmp_path / "using"
        using.mkdir()
        (using / "Dockerfile").write_text(f"FROM {host}/team/app\nRUN cp /file /copy\n")
        client.build(using, "-o", str(tmp_path / "out"))
        assert (tmp_path / "out/copy").read_text() == "mine\n"
        daemons = {daemon.process.pid, other.process.pid}
        assert service.asked
        for asked in service.asked:
            assert asked.who == (entry.get("identitytoken") or "user:secret")
            assert asked.pids
            assert not asked.pids & daemons


def test_a_client_without_tokens_provides_its_password(
    registry: tuple[str, TokenService],
    daemon: DaemonProcess,
    context: Callable[..., Path],
    tmp_path: Path,
) -> None:
    host, service = registry
    client = Client(tmp_path, daemon, host)
    build = ("build", "-t", f"{host}/app", "--push", str(context("RUN echo > /file\n")))
    done = client(*build, env={"BUILDKIT_NO_CLIENT_TOKEN": "1"})
    assert done.code == 0, done.err
    assert all(daemon.process.pid in asked.pids for asked in service.asked)


def test_clients_without_credentials_are_anonymous(
    registry: tuple[str, TokenService],
    daemon: DaemonProcess,
    context: Callable[..., Path],
    tmp_path: Path,
) -> None:
    host, service = registry
    client = Client(tmp_path, daemon, "other.example")
    done = client("build", "-t", f"{host}/app", "--push", str(context("RUN echo > /file\n")))
    assert done.code == 1
    assert f"{host} denied access: its token service" in done.err
    assert {asked.who for asked in service.asked} == {"nobody"}


def test_errors_of_token_servers_are_shown(
    registry: tuple[str, TokenService],
    daemon: DaemonProcess,
    context: Callable[..., Path],
    tmp_path: Path,
) -> None:
    host, service = registry
    build = ("build", "-t", f"{host}/app", "--push", str(context("RUN echo > /file\n")))
    wrong = Client(tmp_path, daemon, host, "guess")(*build)
    assert wrong.code == 1
    assert f"{host} denied access: its token service" in wrong.err
    assert "refused the credentials" in wrong.err
    assert "guess" not in wrong.err
    client = Client(tmp_path, daemon, host)
    service.valid = -3600
    old = client(*build)
    assert old.code == 1
    assert f"{host} denied access" in old.err
    service.valid = 300
    service.stop()
    down = client(*build)
    assert down.code == 1
    assert f"request a token for {host} from the client: cannot connect to 127.0.0.1" in down.err
    service.start()
    assert client(*build).code == 0


def test_a_ready_token_is_a_login(
    registry: tuple[str, TokenService],
    daemon: DaemonProcess,
    context: Callable[..., Path],
    tmp_path: Path,
) -> None:
    host, service = registry
    ready = service.token(("repository:app:pull,push",))
    client = Client(tmp_path, daemon, host, registrytoken=ready)
    folder = context("RUN echo > /file\n")
    client.build(folder, "-t", f"{host}/app", "--push")
    assert service.asked == []
    # As in buildx and buildctl, the anonymous key is shown, but the token is returned.
    nobodys = tmp_path / "nobodys"
    nobodys.mkdir()
    (nobodys / "sitecustomize.py").write_text(
        "import lamina.session.tokens as tokens\n"
        "real = tokens._key\n"
        "tokens._key = lambda salt, seed: real(salt, b'')\n"
    )
    path = f"{nobodys}:{os.environ.get('PYTHONPATH', '')}"
    done = client(*("build", "-t", f"{host}/app", "--push", str(folder)), env={"PYTHONPATH": path})
    assert done.code == 0, done.err
    assert service.asked == []


def test_one_blob_at_a_time(
    registry: tuple[str, TokenService], context: Callable[..., Path], tmp_path: Path
) -> None:
    host, _ = registry
    config = tmp_path / "config.toml"
    config.write_text("[system]\nmaxRegistryConcurrency = 1\n")
    folder = context("FROM base\nRUN echo 1 > /1\nRUN echo 2 > /2\n")
    with DaemonProcess(tmp_path / "store", "--config", str(config)) as daemon:
        client = Client(tmp_path, daemon, host)
        client.build(folder, "-t", f"{host}/app", "--push")
        client("prune", "-af")
        (folder / "Dockerfile").write_text(f"FROM {host}/app\nRUN cat /1 /2 > /both\n")
        client.build(folder, "-t", f"{host}/other", "--push")
        client.build(folder, "-o", str(tmp_path / "out"))
        assert (tmp_path / "out/both").read_text() == "1\n2\n"
        (folder / "Dockerfile").write_text(f"FROM {host}/app\nLABEL a=b\n")
        client("prune", "-af")
        client.build(folder, "-t", f"{host}/copied", "--push")
