"""Opens the builder, or the local store, of a command."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, Unsupported

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from lamina.cli.flags import Parsed
    from lamina.client.build_history import BuildHistory
    from lamina.client.contract import Builder, LocalStore


def store_root(parsed: Parsed) -> str:
    """The store's directory: `--root`, else `default_root`."""
    return os.path.abspath(parsed.text("root") or default_root(os.environ))


def default_root(environ: Mapping[str, str]) -> str:
    """`LAMINA_ROOT`, else the default of the system or the user."""
    root = environ.get("LAMINA_ROOT", "")
    if not root and os.geteuid() == 0:
        root = "/var/lib/lamina"
    if not root:
        data = environ.get("XDG_DATA_HOME", "")
        if not os.path.isabs(data):  # the XDG specification says to ignore relative ones
            data = os.path.expanduser("~/.local/share")
        root = os.path.join(data, "lamina")
    return os.path.abspath(root)


def builder_address(parsed: Parsed) -> str:
    """The address of the daemon, "" for none: `--builder`, else `LAMINA_HOST`, else
    `BUILDKIT_HOST`.

    With `--root` no daemon is used. Raises InvalidInput.
    """
    address = parsed.text("builder")
    if parsed.given("root"):
        if address:
            raise InvalidInput(
                "--root and --builder cannot be combined", hint="a daemon has its own store"
            )
        return ""
    if parsed.given("builder"):
        return address
    return os.environ.get("LAMINA_HOST") or os.environ.get("BUILDKIT_HOST", "")


def open_builder(parsed: Parsed) -> AbstractContextManager[Builder]:
    """Open the daemon of the command line or the environment, or else a builder in this process.

    Raises InvalidInput, NotFound, PermissionDenied, Unavailable.
    """
    address = builder_address(parsed)
    if address:
        from lamina.client.remote import open_remote

        return open_remote(address, _certificates(parsed), server_name=parsed.text("tlsservername"))
    from lamina.client import embedded

    return embedded.open_builder(store_root(parsed))


def open_local_store(
    parsed: Parsed, doing: str, instead: str
) -> AbstractContextManager[LocalStore]:
    """Open the local store, for a command that no daemon supports.

    Args:
        doing: what the command does, for the error if a daemon is configured.
        instead: what to do with a daemon.

    Raises InvalidInput, NotFound, PermissionDenied, Unavailable, Unsupported.
    """
    address = builder_address(parsed)
    if address:
        raise Unsupported(
            f"the daemon at {address} cannot {doing}",
            hint=f"{instead}; or use the local store: --root DIR, or unset LAMINA_HOST and"
            " BUILDKIT_HOST",
        )
    from lamina.client import embedded

    return embedded.open_builder(store_root(parsed))


def open_history(parsed: Parsed) -> AbstractContextManager[BuildHistory]:
    """Open the records of builds of this command line's builder.

    Raises InvalidInput, NotFound, PermissionDenied, Unavailable.
    """
    address = builder_address(parsed)
    if address:
        from lamina.client.remote_history import open_remote_history

        return open_remote_history(
            address, _certificates(parsed), server_name=parsed.text("tlsservername")
        )
    from lamina.client.local_history import open_local_history

    return open_local_history(store_root(parsed))


def _certificates(parsed: Parsed) -> ssl.SSLContext | None:
    """The CA and the client certificate, None for a connection without TLS. Raises InvalidInput."""
    folder = parsed.text("tlsdir") or os.environ.get("LAMINA_TLS_DIR", "")
    authority = parsed.text("tlscacert") or _in_folder(folder, "ca.pem", "ca.crt")
    certificate = parsed.text("tlscert") or _in_folder(folder, "cert.pem", "tls.crt")
    key = parsed.text("tlskey") or _in_folder(folder, "key.pem", "tls.key")
    if not (authority or certificate or key or parsed.text("tlsservername")):
        return None
    if bool(certificate) != bool(key):
        raise InvalidInput("--tlscert and --tlskey must be given together")
    from lamina.wire.tls import client_context

    return client_context(authority, certificate, key)


def _in_folder(folder: str, *names: str) -> str:
    paths = [os.path.join(folder, name) for name in names] if folder else []
    return next(filter(os.path.exists, paths), "")
