"""Converts a build request to attributes of `dockerfile.v0`, like `docker buildx`.

`lamina.dockerfile.options` has those of the frontend's own options.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.dockerfile.options import write_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.client.contract import BuildRequest
    from lamina.client.served_files import ServedRequest

FRONTEND = "dockerfile.v0"
_PYTHON = "python.v0"
_HEAD = 4096  # bytes of a build file in which a syntax directive can be
_HOST_NETWORK = "network.host"
_CONTEXTS = "moby.buildkit.frontend.contexts+forward"


def frontend_attributes(request: BuildRequest, served: ServedRequest) -> dict[str, str]:
    """The frontend attributes of a request. `served` has the names of its files in the session."""
    attributes = {
        "filename": served.filename,
        **write_options(request.frontend),
        **{f"attest:{kind}": text for kind, text in request.attests},
        **{f"context:{name}": address for name, address in served.contexts},
        **{f"sharedkey:localdir:{name}": key for name, key in served.shared_keys},
    }
    optional = {
        "context": served.context,
        "dockerfilekey": served.dockerfile_key,
        "frontend.caps": _CONTEXTS if served.contexts else "",
    }
    attributes |= {key: value for key, value in optional.items() if value}
    if request.attests:
        from lamina.client.version_control import version_control_attributes

        attributes |= version_control_attributes(request)
    return attributes


def frontend_of(request: BuildRequest) -> str:
    """The frontend for the request's Dockerfile, or for its build file in Python.

    A build file that names a frontend image (`# syntax=`) goes to the Dockerfile frontend, which
    runs that image.
    """
    dockerfile = request.context.dockerfile
    if not dockerfile.endswith(".py") or request.context.dockerfile_data is not None:
        return FRONTEND
    from lamina.dockerfile.syntax import find_syntax

    path = os.path.join(request.context.path, dockerfile)
    try:
        with open(path, "rb") as file:
            syntax = find_syntax(file.read(_HEAD))
    except OSError:  # the frontend reports it
        syntax = ""
    return FRONTEND if syntax else _PYTHON


def check_text(attributes: Mapping[str, str]) -> None:
    """Raise InvalidInput for attributes that are not UTF-8, which the protocol requires."""
    for key, value in attributes.items():
        try:
            f"{key}={value}".encode()
        except UnicodeEncodeError:
            shown = f"{key}={value}".encode(errors="replace").decode()
            raise InvalidInput(
                f"{shown} is not UTF-8", hint="builds without a daemon accept any bytes"
            ) from None


def plain_text(text: str) -> str:
    """A name for a daemon and for one line of text: unprintable characters become `_`."""
    return "".join(character if character.isprintable() else "_" for character in text)


def entitlements(request: BuildRequest) -> tuple[str, ...]:
    """The entitlements that a request grants. `--network host` implies `network.host`."""
    host = (_HOST_NETWORK,) if request.frontend.network == "host" else ()
    return tuple(dict.fromkeys((*request.allow, *host)))
