"""Registries that require credentials, and clients of one daemon with and without them."""

from __future__ import annotations

import json
import subprocess
from base64 import b64encode
from typing import TYPE_CHECKING

import pytest

from lamina.api.failures import from_status
from lamina.base.errors import PermissionDenied
from lamina.wire.contract import StatusError
from tests.commands import Done, RemoteLamina
from tests.daemon.daemon_client import solve
from tests.daemon_process import DaemonProcess
from tests.real_registry import HTPASSWD, running_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "registry"
    folder.mkdir()
    (folder / "htpasswd").write_text(HTPASSWD)
    extra = f"auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}\n"
    with running_registry(folder, extra) as host:
        yield host


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    with DaemonProcess(tmp_path / "store") as daemon:
        yield daemon


@pytest.fixture
def alice(daemon: DaemonProcess, registry: str, tmp_path: Path) -> RemoteLamina:
    """A client with credentials."""
    config = tmp_path / "alice"
    config.mkdir()
    auth = b64encode(b"user:secret").decode()
    (config / "config.json").write_text(f'{{"auths": {{"{registry}": {{"auth": "{auth}"}}}}}}')
    return RemoteLamina(tmp_path, daemon.address, DOCKER_CONFIG=str(config))


@pytest.fixture
def bob(daemon: DaemonProcess, tmp_path: Path) -> RemoteLamina:
    """A client without credentials."""
    return RemoteLamina(tmp_path, daemon.address, DOCKER_CONFIG=str(tmp_path / "bob"))


def refused(done: Done) -> bool:
    return done.code == 1 and "denied access" in done.err


def test_credentials_are_used_only_for_their_own_client(
    alice: RemoteLamina,
    bob: RemoteLamina,
    daemon: DaemonProcess,
    registry: str,
    context: Callable[..., Path],
    tmp_path: Path,
) -> None:
    name = f"{registry}/private:1"
    folder = context("RUN echo secret > /file\n")
    assert refused(bob("build", "-t", name, "--push", str(folder)))
    alice.build(folder, "-t", name, "--push")

    using = tmp_path / "using"
    using.mkdir()
    (using / "Dockerfile").write_text(f"FROM {name}\nRUN cp /file /copy\n")
    assert refused(bob("build", str(using)))
    alice.build(using, "-o", str(tmp_path / "out"))
    assert (tmp_path / "out/copy").read_text() == "secret\n"
    # The whole image is in the store now, and its steps are cached; still bob may not have it.
    assert refused(bob("build", "-o", str(tmp_path / "bobs"), str(using)))
    assert not (tmp_path / "bobs").exists()
    assert refused(bob("build", "--call=outline", str(using)))
    # The refusal for bob does not affect alice.
    assert "CACHED" in alice.build(using)


def test_layers_are_pulled_with_the_credentials_of_the_waiting_client(
    alice: RemoteLamina,
    bob: RemoteLamina,
    daemon: DaemonProcess,
    registry: str,
    context: Callable[..., Path],
    tmp_path: Path,
) -> None:
    name = f"{registry}/private:1"
    alice.build(context("RUN echo secret > /file\n"), "-t", name, "--push")
    with DaemonProcess(tmp_path / "elsewhere", socket_name="e.sock") as other:
        alice.address = bob.address = other.address
        using = tmp_path / "using"
        using.mkdir()
        (using / "Dockerfile").write_text(f"FROM {name}\nRUN cat /file\n")
        assert refused(bob("build", str(using)))
        log = alice.build(using)
        assert "[internal] pull" in log
        assert "secret" in log
        assert refused(bob("build", str(using)))
        with other.dial() as channel, pytest.raises(StatusError) as denied:
            solve(channel, using, **{"image-resolve-mode": "local"})
        assert isinstance(from_status(denied.value), PermissionDenied)


def test_caches_are_imported_with_the_credentials_of_their_client(
    alice: RemoteLamina, bob: RemoteLamina, registry: str, context: Callable[..., Path]
) -> None:
    folder = context("RUN echo 1 > /file\n")
    cache = f"type=registry,ref={registry}/cache:1"
    written = bob("build", "--progress=plain", "--cache-to", cache, str(folder))
    assert written.code == 0  # a cache never makes a build fail
    assert "the cache was not written" in written.err
    assert "was not written" not in alice.build(folder, "--cache-to", f"{cache},mode=max")
    assert alice("prune", "-af").code == 0
    assert "denied access" in bob.build(folder, "--cache-from", cache)
    assert alice("prune", "-af").code == 0
    log = alice.build(folder, "--cache-from", cache)
    assert "CACHED" in log.partition("RUN echo 1")[2]


def test_layers_are_never_fetched_from_another_clients_repository(
    alice: RemoteLamina,
    bob: RemoteLamina,
    registry: str,
    context: Callable[..., Path],
    tmp_path: Path,
) -> None:
    private = f"{registry}/private:1"
    folder = context("RUN echo secret > /file\n")
    with running_registry(tmp_path / "public", "") as public:
        alice.build(folder, "-t", private, "--push")
        alice.build(folder, "-t", f"{public}/same:1", "--push")
        with DaemonProcess(tmp_path / "elsewhere", socket_name="e.sock") as other:
            alice.address = bob.address = other.address
            using = tmp_path / "using"
            using.mkdir()
            # Alice's build resolves the image, and fetches no layer.
            (using / "Dockerfile").write_text(f"FROM {private}\nENV A=1\n")
            alice.build(using)
            (using / "Dockerfile").write_text(f"FROM {public}/same:1\nRUN cat /file\n")
            for blob in (tmp_path / "public/data").rglob("sha256/*/*/data"):
                if not blob.read_bytes().startswith(b"{"):
                    blob.unlink()
            failed = bob("build", "--progress=plain", str(using))
            assert failed.code == 1
            assert f"pull {public}/same:1" in failed.err
            assert registry not in failed.err
            # A build that names the repository gets the layers from there.
            (using / "Dockerfile").write_text(f"FROM {private}\nRUN cat /file\n")
            assert f"pull {private}" in alice.build(using)


@pytest.fixture
def mallory(daemon: DaemonProcess, registry: str, tmp_path: Path) -> RemoteLamina:
    """A client with wrong credentials."""
    config = tmp_path / "mallory"
    config.mkdir()
    auth = b64encode(b"user:wrong").decode()
    (config / "config.json").write_text(f'{{"auths": {{"{registry}": {{"auth": "{auth}"}}}}}}')
    return RemoteLamina(tmp_path, daemon.address, DOCKER_CONFIG=str(config))


GATE = "--mount=type=cache,target=/gate"
CLOSED = f"FROM base AS waits\nRUN {GATE} while [ ! -e /gate/open ]; do sleep 0.1; done\n"


class Waiting:
    """Alice's image in another daemon: its manifest without its layers, and builds that need it.

    They first wait until the gate is opened.
    """

    def __init__(self, alice: RemoteLamina, image: str, context: Callable[..., Path]) -> None:
        self.image = image
        self._context = context
        self._lamina = alice
        alice.build(context(f"FROM {image}\nENV A=1\n"))
        self._folder = context(f"{CLOSED}FROM {image}\nCOPY --from=waits /bin /b\n")

    def start(self, client: RemoteLamina) -> subprocess.Popen[str]:
        command = client.command("build", "--progress=plain", str(self._folder))
        process = subprocess.Popen(
            command, env=client.environment(), stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        for line in process.stderr:
            if f"RUN {GATE}" in line:
                return process
        raise AssertionError("the build ended before its step")

    def end(self, *builds: subprocess.Popen[str]) -> list[str]:
        """Open the gate. Returns the output of the builds since then; all must succeed."""
        self._lamina.build(self._context(f"RUN {GATE} touch /gate/open\n"))
        logs = [build.communicate(timeout=60)[1] for build in builds]
        assert [build.returncode for build in builds] == [0] * len(builds), "\n=====\n".join(logs)
        return logs


@pytest.fixture
def waiting(
    alice: RemoteLamina,
    mallory: RemoteLamina,
    registry: str,
    context: Callable[..., Path],
    tmp_path: Path,
) -> Iterator[Waiting]:
    name, metadata = f"{registry}/private:1", tmp_path / "metadata"
    folder = context("RUN echo secret > /file\n")
    alice.build(folder, "-t", name, "--push", "--metadata-file", str(metadata))
    digest = json.loads(metadata.read_text())["containerimage.digest"]
    # Garbage collection would remove the manifest, which nothing in the store refers to.
    options = ("--oci-worker-gc=false",)
    with DaemonProcess(tmp_path / "elsewhere", *options, socket_name="e.sock") as other:
        alice.address = mallory.address = other.address
        yield Waiting(alice, f"{name}@{digest}", context)


def test_a_refused_layer_fails_only_the_build_of_the_refused_client(
    alice: RemoteLamina, mallory: RemoteLamina, waiting: Waiting, tmp_path: Path
) -> None:
    build = waiting.start(alice)
    using = tmp_path / "using"
    using.mkdir()
    (using / "Dockerfile").write_text(f"FROM {waiting.image}\nRUN cat /file\n")
    failed = mallory("build", "--progress=plain", str(using))
    assert refused(failed)
    assert "[internal] pull" in failed.err
    assert "[internal] pull" in waiting.end(build)[0]


def test_a_shared_step_uses_the_credentials_that_suffice(
    alice: RemoteLamina, mallory: RemoteLamina, waiting: Waiting
) -> None:
    logs = waiting.end(waiting.start(mallory), waiting.start(alice))
    assert "[internal] pull" in logs[1]
