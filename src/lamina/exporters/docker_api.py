"""The calls of the Docker Engine API that a load needs, for Docker and Podman."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lamina.base.errors import LaminaError, NotFound, PermissionDenied, Unavailable
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lamina.exporters.docker_host import DockerHost
    from lamina.exporters.file_sink import ByteSink
    from lamina.system.cancel import Cancellation

_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 600.0  # unpacking a large image can take long
_LIMIT = 16 << 20


class HeldImage(NamedTuple):
    """An image on the host. `layers` are diff IDs, lowest first."""

    id: str
    tags: tuple[str, ...]
    layers: tuple[str, ...]


class DockerApi:
    """One host. Methods raise Unavailable, PermissionDenied, Cancelled."""

    def __init__(self, host: DockerHost, cancel: Cancellation) -> None:
        self._host = host
        self._cancel = cancel

    def keeps_layers_unpacked(self) -> bool:
        """Whether the host accepts an archive without the blobs of layers that it has.

        Podman does, and Docker with a graph driver; Docker on containerd's store needs all blobs.
        """
        status, document = self._get("/info")
        if status != 200 or not isinstance(document, dict):
            return False
        details = [list(map(str, entry)) for entry in document.get("DriverStatus") or ()]
        return not any("io.containerd." in word for entry in details for word in entry)

    def image(self, name: str) -> HeldImage | None:
        """The image of a name or ID; None if there is none."""
        status, document = self._get(f"/images/{_quoted(name)}/json")
        if status == 404:
            return None
        if status != 200 or not isinstance(document, dict):
            raise self._refusal(status, document)
        rootfs = document.get("RootFS") or {}
        return HeldImage(
            str(document.get("Id") or ""),
            tuple(map(str, document.get("RepoTags") or ())),
            tuple(map(str, rootfs.get("Layers") or ())),
        )

    def newest(self, count: int) -> list[str]:
        """IDs of the newest images."""
        status, document = self._get("/images/json")
        if status != 200 or not isinstance(document, list):
            raise self._refusal(status, document)
        entries = sorted(document, key=lambda e: -int(e.get("Created") or 0))
        return [str(entry["Id"]) for entry in entries[:count]]

    def tag(self, image: str, repository: str, tag: str) -> None:
        path = f"/images/{_quoted(image)}/tag?repo={_quoted(repository)}&tag={_quoted(tag)}"
        with self._connection() as connection:
            connection.request("POST", path, headers={"Content-Length": "0"})
            status, document = _answer(connection)
        if status not in (200, 201):
            raise self._refusal(status, document)

    def load(self, write: Callable[[ByteSink], None]) -> None:
        """Send the archive that `write` writes. Raises LaminaError if it is refused."""
        with self.loading() as sink:
            write(sink)

    @contextmanager
    def loading(self) -> Iterator[ByteSink]:
        """Send the archive that is written during the block. Raises LaminaError at its end if it
        is refused."""
        with self._connection() as connection:
            connection.putrequest("POST", "/images/load?quiet=1")
            connection.putheader("Content-Type", "application/x-tar")
            connection.putheader("Transfer-Encoding", "chunked")
            connection.endheaders()
            try:
                yield _ChunkedBody(connection)
                connection.send(b"0\r\n\r\n")
            except (BrokenPipeError, ConnectionResetError):
                pass  # the host reads no more; its response gives the reason
            response = connection.getresponse()
            data = response.read(_LIMIT)
        if response.status != 200:
            raise self._refusal(response.status, _document(data))
        for line in data.splitlines():
            report = _document(line)
            if isinstance(report, dict) and report.get("error"):
                raise LaminaError(f"{self._host} refused the image: {report['error']}")

    def _get(self, path: str) -> tuple[int, Any]:
        with self._connection() as connection:
            connection.request("GET", path)
            return _answer(connection)

    @contextmanager
    def _connection(self) -> Iterator[http.client.HTTPConnection]:
        self._cancel.check()
        connection = self._make()

        def abort() -> None:
            if connection.sock is not None:
                try:
                    connection.sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    return

        try:
            with self._cancel.calling(abort):
                connection.connect()
                connection.sock.settimeout(_ANSWER_SECONDS)
                yield connection
        except PermissionError as error:
            raise PermissionDenied(
                f"cannot connect to {self._host}: {error.strerror}",
                hint="run lamina as root, or as a member of the group that owns the socket",
            ) from error
        except (OSError, http.client.HTTPException) as error:
            self._cancel.check()
            text = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise Unavailable(
                f"cannot connect to Docker or Podman at {self._host}: {text}",
                hint="is it running? check DOCKER_HOST and the Docker context",
            ) from error
        finally:
            connection.close()

    def _make(self) -> http.client.HTTPConnection:
        host = self._host
        if host.path:
            return _UnixConnection(host.path)
        if host.tls is None:
            return http.client.HTTPConnection(host.host, host.port, timeout=_CONNECT_SECONDS)
        return http.client.HTTPSConnection(
            host.host, host.port, timeout=_CONNECT_SECONDS, context=_tls(host)
        )

    def _refusal(self, status: int, document: Any) -> LaminaError:
        said = document.get("message") if isinstance(document, dict) else document
        kind = {403: PermissionDenied, 404: NotFound}.get(status, Unavailable)
        return kind(f"{self._host} answered {status}: {said or 'nothing more'}")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=_CONNECT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _ChunkedBody:
    """A request body of unknown length (RFC 9112, 7.1). Small writes are combined."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection

    def write(self, chunk: bytes, /) -> None:
        if chunk:
            self._connection.send(b"%x\r\n%b\r\n" % (len(chunk), chunk))


def _tls(host: DockerHost) -> Any:
    import os
    import ssl

    folder = host.tls or ""
    authority = os.path.join(folder, "ca.pem")
    context = ssl.create_default_context(cafile=authority if os.path.exists(authority) else None)
    if not host.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    certificate = os.path.join(folder, "cert.pem")
    if folder and os.path.exists(certificate):
        context.load_cert_chain(certificate, os.path.join(folder, "key.pem"))
    return context


def _answer(connection: http.client.HTTPConnection) -> tuple[int, Any]:
    response = connection.getresponse()
    return response.status, _document(response.read(_LIMIT))


def _document(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode(errors="replace").strip()[:300]


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="/:@")
