"""How a node's daemon is reached: its address, and the certificates of buildx's driver options."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    import ssl

    from lamina.client.builders.node_group import Node

_FILES = ("cacert", "cert", "key")
OPTIONS = (*_FILES, "servername", "default-load")
"""The options of buildx's driver `remote`."""


class Endpoint(NamedTuple):
    """The address of a daemon. `tls` None is a connection without TLS, `server_name` "" the
    address's host."""

    address: str
    tls: ssl.SSLContext | None = None
    server_name: str = ""


def endpoint_of(node: Node) -> Endpoint:
    """The endpoint of a remote node. Raises InvalidInput for its options or certificates."""
    options = dict(node.options)
    check_options(options)
    server_name = options.get("servername", "")
    if not (server_name or any(options.get(name) for name in _FILES)):
        return Endpoint(node.endpoint)
    if not options.get("cacert"):
        raise InvalidInput(
            f"node {node.name}: TLS requires a CA certificate",
            hint="create the node with --driver-opt cacert=FILE",
        )
    if bool(options.get("cert")) != bool(options.get("key")):
        raise InvalidInput(
            f"node {node.name}: cert and key must be given together",
            hint="create the node with --driver-opt cert=FILE,key=FILE",
        )
    from lamina.wire.tls import client_context

    tls = client_context(options["cacert"], options.get("cert", ""), options.get("key", ""))
    return Endpoint(node.endpoint, tls, server_name)


def check_options(options: dict[str, str]) -> None:
    """Check the names of a remote node's options, and their paths. Raises InvalidInput."""
    for name, value in options.items():
        if name not in OPTIONS:
            raise InvalidInput(
                f'invalid option "{name}" of driver remote',
                hint=f"choose from {', '.join(OPTIONS)}",
            )
        if name in _FILES and not os.path.isabs(value):
            raise InvalidInput(f"the path {value} of {name} is not absolute")
