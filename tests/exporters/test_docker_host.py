"""The search for Docker or Podman."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from lamina.base.errors import InvalidInput, NotFound, Unsupported
from lamina.exporters.docker_host import DockerHost, find_docker_host, parse_docker_host

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unix:///run/docker.sock", DockerHost("/run/docker.sock")),
        ("tcp://localhost", DockerHost("", "localhost", 2375)),
        ("tcp://[::1]:99/", DockerHost("", "::1", 99)),
        ("tcp://[::1]", DockerHost("", "::1", 2375)),
        ("https://host", DockerHost("", "host", 2376, "")),
    ],
)
def test_addresses(text: str, expected: DockerHost) -> None:
    assert parse_docker_host(text) == expected


@pytest.mark.parametrize("text", ["", "host:1", "tcp://:1", "tcp://a:0", "tcp://a:x", "tcp://"])
def test_invalid_addresses(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_docker_host(text)


def test_hosts_by_ssh_are_refused_with_a_way_out() -> None:
    with pytest.raises(Unsupported) as caught:
        parse_docker_host("ssh://me@host")
    assert "DOCKER_HOST" in caught.value.hint


def test_the_order_in_which_it_is_looked_for(tmp_path: Path) -> None:
    runtime = {"XDG_RUNTIME_DIR": str(tmp_path), "DOCKER_CONFIG": str(tmp_path / "none")}
    (tmp_path / "podman").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "podman" / "podman.sock"))
        found = find_docker_host(runtime)
        # The sockets of root come first, if this machine has any.
        assert found.path.endswith((".sock",))
        named = {**runtime, "CONTAINER_HOST": "unix:///c", "DOCKER_HOST": "unix:///d"}
        assert find_docker_host(named) == DockerHost("/d")
        del named["DOCKER_HOST"]
        assert find_docker_host(named) == DockerHost("/c")
        with pytest.raises(NotFound):
            find_docker_host({**runtime, "DOCKER_CONTEXT": "nobody's"})


def test_tls_settings_of_docker(tmp_path: Path) -> None:
    environ = {"DOCKER_HOST": "tcp://h:1", "DOCKER_CERT_PATH": str(tmp_path)}
    assert find_docker_host(environ) == DockerHost("", "h", 1, str(tmp_path), verify=False)
    environ["DOCKER_TLS_VERIFY"] = "1"
    assert find_docker_host(environ) == DockerHost("", "h", 1, str(tmp_path))
