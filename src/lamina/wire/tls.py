"""TLS as a transport, with certificates of both sides.

OpenSSL's objects must not be used by two threads at the same time, but a connection receives while
it sends. So the TLS engine works on memory under a lock, and the socket is read and written outside
of it. The engine's own messages (the answer to a key update) are sent with the next data, which TLS
1.3 allows: the reading thread never sends.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from lamina.base.errors import InvalidInput
from lamina.wire.transport import SocketTransport

if TYPE_CHECKING:
    import socket
    import ssl

_RECORD = 16 << 10
_READ = 256 << 10


class TlsTransport:
    """TLS over a connected socket, which it closes. HTTP/2 is negotiated by ALPN.

    The constructor performs the handshake within `seconds`. Raises OSError if that fails.
    """

    def __init__(
        self,
        connected: socket.socket,
        context: ssl.SSLContext,
        *,
        server_name: str | None = None,
        seconds: float = 10.0,
    ) -> None:
        """A server, or with `server_name` a client."""
        import ssl

        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._engine = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=server_name is None,
            server_hostname=server_name,
        )
        self._lock = threading.Lock()  # of the engine
        self._sending = threading.Lock()  # keeps records in the order of their encryption
        try:
            self._shake_hands(connected, seconds)
        except BaseException:
            connected.close()
            raise
        self._socket = SocketTransport(connected)

    @property
    def subject(self) -> str:
        """The subject of the peer's certificate, `CN=name,O=...`; "" if it has sent none."""
        certificate: dict[str, Any] = self._engine.getpeercert() or {}
        parts = [pair for relative in certificate.get("subject", ()) for pair in relative]
        return ",".join(f"{_SHORT.get(name, name)}={value}" for name, value in parts)

    def receive(self, limit: int) -> bytes:
        import ssl

        while True:
            with self._lock:
                try:
                    return self._engine.read(limit)
                except ssl.SSLWantReadError:
                    pass
                except ssl.SSLZeroReturnError:
                    return b""
            data = self._socket.receive(_READ)
            with self._lock:
                if not data:
                    self._incoming.write_eof()
                    raise ConnectionResetError("the peer closed the connection without ending TLS")
                self._incoming.write(data)

    def send(self, data: bytes) -> None:
        with self._sending, memoryview(data) as view:
            for at in range(0, len(view), _READ):
                with self._lock:
                    piece = view[at : at + _READ]
                    while piece:
                        piece = piece[self._engine.write(piece[:_RECORD]) :]
                    encrypted = self._outgoing.read()
                self._socket.send(encrypted)

    def send_some(self, data: bytes) -> int:
        return 0  # encrypted data must be sent completely

    def close(self) -> None:
        self._socket.close()

    def _shake_hands(self, connected: socket.socket, seconds: float) -> None:
        import ssl
        import time

        deadline = time.monotonic() + seconds
        done = False
        while not done:
            try:
                self._engine.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                connected.sendall(self._outgoing.read())  # the alert that tells the peer the reason
                raise
            connected.settimeout(max(0.01, deadline - time.monotonic()))
            if said := self._outgoing.read():
                connected.sendall(said)
            if not done:
                data = connected.recv(_READ)
                if not data:
                    raise ConnectionResetError("the peer left during the TLS handshake")
                self._incoming.write(data)
        if self._engine.selected_alpn_protocol() not in ("h2", None):
            raise ConnectionAbortedError("the peer does not speak HTTP/2")
        connected.settimeout(None)


_SHORT = {
    "commonName": "CN",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "stateOrProvinceName": "ST",
    "localityName": "L",
}


def server_context(certificate: str, key: str, client_ca: str = "") -> ssl.SSLContext:
    """The TLS settings of a server. With `client_ca`, clients need a certificate signed by it.

    All are paths of PEM files. Raises InvalidInput.
    """
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _fill(context, certificate, key, client_ca)
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(ca: str = "", certificate: str = "", key: str = "") -> ssl.SSLContext:
    """The TLS settings of a client: the trusted CA (by default the system's), and its certificate.

    All are paths of PEM files. Raises InvalidInput.
    """
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not ca:
        context.load_default_certs()
    _fill(context, certificate, key, ca)
    return context


def _fill(context: ssl.SSLContext, certificate: str, key: str, ca: str) -> None:
    import ssl

    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["h2"])
    reading = ca
    try:
        if ca:
            context.load_verify_locations(ca)
        if certificate:
            reading = certificate
            context.load_cert_chain(certificate, key or None)
    except OSError as error:  # SSLError is one
        raise InvalidInput(f"TLS certificates {reading}: {error.strerror or error}") from error
