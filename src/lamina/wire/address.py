"""Addresses in BuildKit's syntax, and connecting to them.

They are `unix://path`, `tcp://host:port`, and for clients `ssh://[user@]host[:port][/socket]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, PermissionDenied, Unavailable, from_os_error

if TYPE_CHECKING:
    import socket
    import ssl

    from lamina.wire.client import GrpcChannel
    from lamina.wire.contract import Transport


def split_address(address: str) -> tuple[str, str]:
    """Split an address into (scheme, rest). Raises InvalidInput."""
    scheme, mark, rest = address.partition("://")
    if not mark or scheme not in ("unix", "tcp", "fd", "ssh"):
        raise InvalidInput(
            f"invalid address {address!r}",
            hint="use unix:///path/of/socket, tcp://host:port or ssh://user@host",
        )
    if scheme == "unix" and not rest:
        raise InvalidInput(f"the address {address!r} has no path")
    return scheme, rest


def split_host(rest: str) -> tuple[str, int]:
    """The host and port of `host:port` or `[v6]:port`. Raises InvalidInput."""
    host, mark, port = rest.rpartition(":")
    if not mark or not port.isdecimal() or int(port) > 65535:
        raise InvalidInput(f"the address {rest!r} is not host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)


def dial(
    address: str,
    tls: ssl.SSLContext | None = None,
    *,
    server_name: str = "",
    seconds: float = 10.0,
) -> GrpcChannel:
    """Connect to a server; the caller closes the channel. Raises as `open_transport` does."""
    from lamina.wire.client import GrpcChannel

    transport = open_transport(address, tls, server_name=server_name, seconds=seconds)
    scheme = "http" if tls is None else "https"
    return GrpcChannel(transport, authority=_server_name(address, server_name), scheme=scheme)


def open_transport(
    address: str,
    tls: ssl.SSLContext | None = None,
    *,
    server_name: str = "",
    seconds: float = 10.0,
) -> Transport:
    """Connect to a server; the caller closes the transport.

    `server_name` is the name that the certificate must have, if not the address's host. Raises
    InvalidInput, NotFound (no such socket), PermissionDenied (the socket's mode, or a certificate
    that is not trusted), Unavailable.
    """
    from lamina.wire.transport import SocketTransport

    scheme, rest = split_address(address)
    if scheme == "ssh":
        from lamina.wire.command_transport import CommandTransport
        from lamina.wire.ssh import ssh_command

        return CommandTransport(ssh_command(address))
    name = _server_name(address, server_name)
    try:
        connected = _connect(scheme, rest, seconds)
    except OSError as error:
        if error.errno is None or error.errno < 0:  # too late; a name that cannot be resolved
            raise Unavailable(f"connect to {address}: {error.strerror or error}") from error
        raise from_os_error(error, f"connect to {address}") from error
    if tls is None:
        return SocketTransport(connected)
    import ssl

    from lamina.wire.tls import TlsTransport

    try:
        return TlsTransport(connected, tls, server_name=name, seconds=seconds)
    except ssl.SSLCertVerificationError as error:
        reason = f"connect to {address}: its certificate is not trusted: {error.verify_message}"
        raise PermissionDenied(reason) from error
    except OSError as error:
        raise Unavailable(f"connect to {address}: {error}") from error


def _server_name(address: str, given: str) -> str:
    """The given name of a server, else its host."""
    scheme, rest = split_address(address)
    host = split_host(rest)[0] if scheme == "tcp" else ""
    return given or host or "localhost"


def _connect(scheme: str, rest: str, seconds: float) -> socket.socket:
    import socket

    if scheme == "tcp":
        host, port = split_host(rest)
        connected = socket.create_connection((host or "localhost", port), seconds)
        tune(connected)
    elif scheme == "unix":
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            connected.settimeout(seconds)
            connected.connect(rest)
        except BaseException:
            connected.close()
            raise
    else:
        raise InvalidInput(f"cannot connect to {scheme}://")
    connected.settimeout(None)
    return connected


def tune(connected: socket.socket) -> None:
    """Set up a TCP connection: send without delay (TCP_NODELAY), and detect a vanished peer
    (keepalive)."""
    import socket

    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)  # seconds without data
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 6)
