"""The request of a build with its context, and the frontend if it runs in this process."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.builder.graphs import (
    context_of,
    directories_of,
    frontend_of_dockerfile,
    frontend_of_state,
)
from lamina.builder.options import named_contexts, request_of, states_of
from lamina.cli import values
from lamina.cli.context import open_context
from lamina.states.state import State

if TYPE_CHECKING:
    from contextlib import ExitStack

    from lamina.builder.options import BuildOptions
    from lamina.client.contract import BuildRequest, ClientFrontend

Context = str | os.PathLike[str] | State


def prepare(
    context: Context, options: BuildOptions, owner: object, owned: ExitStack
) -> tuple[BuildRequest, ClientFrontend | None]:
    """The request of a build, and the frontend for it if there are states.

    Args:
        owner: the builder, for states that only one can build.
        owned: gets what has to be closed after the build.

    Raises InvalidInput, NotFound, Unavailable.
    """
    request = request_of(options)
    states = states_of(options)
    if isinstance(context, State):
        for option in ("dockerfile", "target", "build_args", "contexts"):
            if options.get(option):
                raise InvalidInput(
                    f"{option} is an option of Dockerfiles", hint="use from_dockerfile()"
                )
        made = request._replace(context=context_of((context,), owner))
        return made, frontend_of_state(context, request)
    dockerfile = options.get("dockerfile", "")
    stdin = io.BytesIO(dockerfile if isinstance(dockerfile, bytes) else b"")
    spec = owned.enter_context(
        open_context(
            os.fspath(context),
            "-" if isinstance(dockerfile, bytes) else _beside(context, dockerfile),
            tuple(map(values.parse_context, named_contexts(options))),
            stdin,
            request.providers,
            fetched=False,
        )
    )
    if not states:
        return request._replace(context=spec), None
    spec = spec._replace(named=(*spec.named, *directories_of(states.values(), owner)))
    return request._replace(context=spec), frontend_of_dockerfile(states, request)


def _beside(context: str | os.PathLike[str], dockerfile: str | os.PathLike[str]) -> str:
    """A Dockerfile's path relative to the context, as `--file` takes it."""
    name = os.fspath(dockerfile)
    path = os.fspath(context)
    if not name or os.path.isabs(name) or not os.path.isdir(path):
        return name
    return os.path.join(path, name)
