"""The address of Docker or Podman, found in the same order as by their own commands:

1. the context that an output names
2. DOCKER_HOST, with DOCKER_TLS_VERIFY and DOCKER_CERT_PATH; Podman's CONTAINER_HOST
3. DOCKER_CONTEXT, or `currentContext` of Docker's config.json
4. the sockets that Docker and Podman make: root's, then this user's
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from lamina.base.errors import InvalidInput, NotFound, Unsupported
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class DockerHost(NamedTuple):
    """A socket's path, or a host and port over TCP.

    `tls` is a directory with `ca.pem`, and `cert.pem` and `key.pem` if the client has a
    certificate. None: no TLS.
    """

    path: str = ""
    host: str = ""
    port: int = 0
    tls: str | None = None
    verify: bool = True

    def __str__(self) -> str:
        return f"unix://{self.path}" if self.path else f"tcp://{self.host}:{self.port}"


def find_docker_host(environ: Mapping[str, str], context: str = "") -> DockerHost:
    """The host to use. Raises NotFound if none is named and no socket exists, InvalidInput."""
    if not context:
        named = environ.get("DOCKER_HOST")
        if named:
            tls = environ.get("DOCKER_CERT_PATH") or docker_folder(environ)
            verify = bool(environ.get("DOCKER_TLS_VERIFY"))
            wants_tls = verify or bool(environ.get("DOCKER_CERT_PATH"))
            return parse_docker_host(named, tls if wants_tls else None, verify=verify)
        if environ.get("CONTAINER_HOST"):
            return parse_docker_host(environ["CONTAINER_HOST"])
        context = current_context(environ)
    if context and context != "default":
        return _of_context(environ, context)
    sockets = _sockets(environ)
    for path in sockets:
        try:
            if stat.S_ISSOCK(os.stat(path).st_mode):
                return DockerHost(path)
        except OSError:
            continue
    raise NotFound(
        "no Docker or Podman to load the image into: no socket at " + ", ".join(sockets),
        hint="start one (`podman system service -t 0 &`), set DOCKER_HOST, or leave --load out:"
        " without it the image is stored in lamina's store",
    )


def parse_docker_host(text: str, tls: str | None = None, *, verify: bool = True) -> DockerHost:
    """Parse `unix:///path`, `tcp://host[:port]` or `http(s)://host[:port]`.

    Raises InvalidInput, Unsupported (ssh, npipe).
    """
    scheme, colon, rest = text.partition("://")
    if not colon:
        raise InvalidInput(
            f'"{text}" is not the address of a Docker host',
            hint="for example unix:///run/docker.sock",
        )
    if scheme == "unix":
        return DockerHost(rest if rest.startswith("/") else "/" + rest)
    if scheme not in ("tcp", "http", "https"):
        raise Unsupported(
            f"Docker hosts with {scheme}:// are not supported",
            hint="forward its socket (`ssh -nNT -L /tmp/docker.sock:/run/docker.sock HOST`) and"
            " set DOCKER_HOST=unix:///tmp/docker.sock",
        )
    rest = rest.partition("/")[0]
    host, colon, port = rest.rpartition(":")
    if not colon or rest.endswith("]"):
        host, port = rest, "2376" if tls is not None or scheme == "https" else "2375"
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InvalidInput(f'"{text}" is not the address of a Docker host')
    if scheme == "https" and tls is None:
        tls = ""
    return DockerHost("", host.removeprefix("[").removesuffix("]"), int(port), tls, verify)


def _of_context(environ: Mapping[str, str], name: str) -> DockerHost:
    """The host of a context of `docker context create`, which is stored by the digest of its
    name."""
    from hashlib import sha256

    folder = os.path.join(docker_folder(environ), "contexts")
    key = sha256(name.encode()).hexdigest()
    document = _json(os.path.join(folder, "meta", key, "meta.json"))
    if document is None:
        raise NotFound(
            f'there is no Docker context "{name}"', hint="`docker context ls` lists the contexts"
        )
    endpoints = document.get("Endpoints")
    endpoint = endpoints.get("docker") if isinstance(endpoints, dict) else None
    if not isinstance(endpoint, dict) or not isinstance(endpoint.get("Host"), str):
        raise InvalidInput(f'the Docker context "{name}" has no host')
    tls = os.path.join(folder, "tls", key, "docker")
    return parse_docker_host(
        endpoint["Host"],
        tls if os.path.isdir(tls) else None,
        verify=not endpoint.get("SkipTLSVerify"),
    )


def current_context(environ: Mapping[str, str]) -> str:
    """The name of Docker's context, "" if none is named. Raises InvalidInput."""
    if named := environ.get("DOCKER_CONTEXT"):
        return named
    document = _json(os.path.join(docker_folder(environ), "config.json"))
    return str((document or {}).get("currentContext") or "")


def docker_folder(environ: Mapping[str, str]) -> str:
    """The directory of Docker's configuration."""
    return environ.get("DOCKER_CONFIG") or os.path.join(
        environ.get("HOME") or os.path.expanduser("~"), ".docker"
    )


def _json(path: str) -> dict[str, Any] | None:
    import json

    try:
        with open(path, "rb") as file:
            document = json.load(file)
    except OSError:
        return None
    except ValueError as error:
        raise InvalidInput(f"{path} is not valid JSON: {error}") from error
    return document if isinstance(document, dict) else None


def _sockets(environ: Mapping[str, str]) -> list[str]:
    found = ["/var/run/docker.sock", "/run/podman/podman.sock"]
    runtime = environ.get("XDG_RUNTIME_DIR")
    if runtime:
        found += [f"{runtime}/docker.sock", f"{runtime}/podman/podman.sock"]
    return found
