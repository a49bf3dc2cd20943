"""Serves the UI over HTTP."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from lamina.base.errors import InvalidInput, Unavailable, from_os_error
from lamina.base.named_tuple import NamedTuple
from lamina.ui.api import Api
from lamina.ui.application import application
from lamina.ui.security import Access, ClientCertificates, FixedToken, Guard, OneTimeTokens, Site
from lamina.ui.static_files import static_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lamina.ui.source import UiSource

DEFAULT_ADDRESS = "127.0.0.1:0"
_BACKLOG = 128


class UiTls(NamedTuple):
    """Files of the server's certificate, its key, and the CA of client certificates."""

    certificate: str
    key: str
    authority: str = ""


class UiOptions(NamedTuple):
    """How the UI is served. `address` is `HOST:PORT`; port 0 is any free one. `token` is a token
    that can be used at any time; without one, and without client certificates, tokens are used
    once. `changes`: requests may change the store."""

    address: str = DEFAULT_ADDRESS
    tls: UiTls | None = None
    token: str = ""
    changes: bool = False


@contextmanager
def serving(
    source: UiSource, options: UiOptions, opened: Callable[[str], object]
) -> Iterator[None]:
    """Serve in a thread for the block. `opened` is called with each address that starts a session.

    Raises InvalidInput, NotFound (the page was not built), Unavailable.
    """
    with _server(source, options, opened) as (server, listener):
        thread = threading.Thread(target=server.run, args=([listener],), name="ui", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def _server(
    source: UiSource, options: UiOptions, opened: Callable[[str], object]
) -> Iterator[tuple[uvicorn.Server, socket.socket]]:
    host, port = split_address(options.address)
    _check(host, options)
    static_files()
    listener = _listen(host, port)
    api = Api(source, changes=options.changes)
    try:
        port = listener.getsockname()[1]
        site = _site(host, port, options)
        access = _access(
            options, f"{'https' if options.tls else 'http'}://{_shown(host)}:{port}/", opened
        )
        yield uvicorn.Server(_config(Guard(application(api), site, access), options.tls)), listener
    finally:
        listener.close()
        api.close()


def _check(host: str, options: UiOptions) -> None:
    """Raise InvalidInput for an address that others reach without TLS or without a check."""
    if is_loopback(host):
        return
    if options.tls is None:
        raise InvalidInput(
            f"the UI is not served on {host} without TLS",
            hint="use a loopback address and `ssh -L`, or a certificate: --servercert, --serverkey",
        )
    if not options.tls.authority and not options.token:
        raise InvalidInput(
            f"the UI is not served on {host} to everyone",
            hint="set a token in LAMINA_UI_TOKEN, or require client certificates with --clientca",
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def split_address(address: str) -> tuple[str, int]:
    """The host and the port of an address. Raises InvalidInput."""
    host, colon, port = address.removeprefix("tcp://").rpartition(":")
    if not colon or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise InvalidInput(
            f'invalid address "{address}" of the UI', hint="use HOST:PORT, for example 127.0.0.1:0"
        )
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, number, _, name = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, number)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(name)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
        return listener
    except socket.gaierror as error:
        raise Unavailable(f"the address {host} of the UI is unknown: {error.strerror}") from error
    except OSError as error:
        raise from_os_error(error, f"listen on {host}:{port}") from error


def _site(host: str, port: int, options: UiOptions) -> Site:
    names = (host, "localhost", "127.0.0.1", "::1") if is_loopback(host) else ()
    hosts = frozenset(f"{_shown(name)}:{port}".lower() for name in names)
    return Site(hosts, options.tls is not None, port)


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _access(options: UiOptions, url: str, opened: Callable[[str], object]) -> Access:
    if options.tls is not None and options.tls.authority:
        opened(url)
        return ClientCertificates()
    if options.token:
        opened(url)
        return FixedToken(options.token)
    return OneTimeTokens(lambda token: opened(f"{url}?token={token}"))


def _config(app: Guard, tls: UiTls | None) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=1,
    )
    if tls is not None:
        config.ssl_certfile, config.ssl_keyfile = tls.certificate, tls.key
        if tls.authority:
            config.ssl_ca_certs, config.ssl_cert_reqs = tls.authority, ssl.CERT_REQUIRED
    return config
