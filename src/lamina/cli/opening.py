"""Opens the builder, or the local store, of a command."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, Unsupported
from lamina.client.builders.node_group import DEFAULT, REMOTE, Node, NodeGroup

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from lamina.cli.flags import Parsed
    from lamina.client.build_history import BuildHistory
    from lamina.client.builders.endpoint import Endpoint
    from lamina.client.contract import Builder, LocalStore
    from lamina.ui.source import UiSource


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


def chosen_builder(parsed: Parsed) -> NodeGroup:
    """The builder of a command: `--root`, else `--builder`, else what the environment names, else
    the one that `lamina use` has chosen.

    The variables are `LAMINA_HOST`, `BUILDX_BUILDER` and `BUILDKIT_HOST`. Raises InvalidInput,
    NotFound, Unsupported, Corrupt.
    """
    from lamina.client.builders.choosing import current_builder, default_builder, find_builder

    root = default_root(os.environ)
    if parsed.given("root"):
        if parsed.text("builder"):
            raise InvalidInput(
                "--root and --builder cannot be combined", hint="a builder has its own store"
            )
        return default_builder(store_root(parsed))
    if parsed.given("builder"):
        named = parsed.text("builder")
        if not named:
            return default_builder(root)
    else:
        variables = ("LAMINA_HOST", "BUILDX_BUILDER", "BUILDKIT_HOST")
        named = next(filter(None, map(os.environ.get, variables)), "")
    if "://" in named:
        return NodeGroup(named, REMOTE, (Node(named, named),))
    return find_builder(named, root, os.environ) if named else current_builder(root, os.environ)


def builder_address(parsed: Parsed) -> str:
    """The address of the builder's daemon, "" for a builder in this process; if there are several,
    separated by commas.

    Raises as `chosen_builder`.
    """
    group = chosen_builder(parsed)
    return "" if group.embedded else ", ".join(node.endpoint for node in group.nodes)


def builder_root(parsed: Parsed) -> str:
    """The store of a command's builder, which is in this process. Raises as `chosen_builder`."""
    return chosen_builder(parsed).nodes[0].endpoint


def open_builder(parsed: Parsed) -> AbstractContextManager[Builder]:
    """Open the builder of a command: in daemons, or in this process.

    Raises InvalidInput, NotFound, PermissionDenied, Unavailable.
    """
    group = chosen_builder(parsed)
    if group.embedded:
        from lamina.client import embedded

        return embedded.open_builder(group.nodes[0].endpoint)
    if len(group.nodes) > 1:
        from lamina.client.builders.multi_node import open_nodes

        return open_nodes(group)
    from lamina.client.remote import open_remote

    address, tls, server_name = _endpoint(parsed, group)
    return open_remote(address, tls, server_name=server_name)


def note_use(group: NodeGroup) -> None:
    """Record that a named builder is used now, for `lamina ls`."""
    if group.name == DEFAULT or "://" in group.name:
        return
    from contextlib import suppress

    from lamina.base.errors import LaminaError
    from lamina.client.builders.builder_files import BuilderFiles

    with suppress(LaminaError):  # the files may be another user's
        BuilderFiles(os.environ).touch(group)


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
            hint=f"{instead}; or use the local store: --root DIR, --builder default, or unset"
            " LAMINA_HOST and BUILDKIT_HOST",
        )
    from lamina.client import embedded

    return embedded.open_builder(builder_root(parsed))


def open_history(parsed: Parsed) -> AbstractContextManager[BuildHistory]:
    """Open the records of builds of this command's builder; of several nodes, those of the first.

    Raises InvalidInput, NotFound, PermissionDenied, Unavailable.
    """
    group = chosen_builder(parsed)
    if group.embedded:
        from lamina.client.local_history import open_local_history

        return open_local_history(group.nodes[0].endpoint)
    from lamina.client.remote_history import open_remote_history

    address, tls, server_name = _endpoint(parsed, group)
    return open_remote_history(address, tls, server_name=server_name)


def open_ui_source(parsed: Parsed) -> AbstractContextManager[UiSource]:
    """Open what the UI shows: the builder of this command and its records; of several nodes, those
    of the first.

    Raises InvalidInput, NotFound, PermissionDenied, Unavailable.
    """
    from lamina.ui.source import open_local_source, open_remote_source

    group = chosen_builder(parsed)
    if group.embedded:
        return open_local_source(group.nodes[0].endpoint)
    address, tls, server_name = _endpoint(parsed, group)
    return open_remote_source(address, tls, server_name=server_name)


def _endpoint(parsed: Parsed, group: NodeGroup) -> Endpoint:
    """The first node of a remote builder, with the certificates of the command line, or its own.

    Raises InvalidInput.
    """
    from lamina.client.builders.endpoint import Endpoint, endpoint_of

    if (tls := _certificates(parsed)) is not None:
        return Endpoint(group.nodes[0].endpoint, tls, parsed.text("tlsservername"))
    return endpoint_of(group.nodes[0])


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
