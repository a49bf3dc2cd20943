"""What every command that needs an engine begins with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput

if TYPE_CHECKING:
    import ssl
    from contextlib import AbstractContextManager

    from lamina.cli.flags import Parsed
    from lamina.client.contract import Builder


def store_root(parsed: Parsed) -> str:
    """The store's folder: `--root`, else `LAMINA_ROOT`, else the system's or the user's own."""
    root = parsed.text("root") or os.environ.get("LAMINA_ROOT", "")
    if not root and os.geteuid() == 0:
        root = "/var/lib/lamina"
    if not root:
        data = os.environ.get("XDG_DATA_HOME", "")
        if not os.path.isabs(data):  # the XDG specification says to ignore relative ones
            data = os.path.expanduser("~/.local/share")
        root = os.path.join(data, "lamina")
    return os.path.abspath(root)


def builder_address(parsed: Parsed) -> str:
    """Where the daemon is that does the work, "" for none: `--builder`, else `LAMINA_HOST`, else
    `BUILDKIT_HOST`. Who names a store by `--root` wants no daemon.

    Raises InvalidInput.
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


def open_engine(parsed: Parsed) -> AbstractContextManager[Builder]:
    """The engine on this command line's store, embedded in this process, or a daemon's.

    Raises InvalidInput, NotFound, PermissionDenied, Unavailable.
    """
    address = builder_address(parsed)
    if address:
        from lamina.client.remote import open_remote

        return open_remote(address, _certificates(parsed), server_name=parsed.text("tlsservername"))
    from lamina.client.embedded import open_builder

    return open_builder(store_root(parsed))


def _certificates(parsed: Parsed) -> ssl.SSLContext | None:
    """Whom to trust and who we are, None for a connection in the clear. Raises InvalidInput."""
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
