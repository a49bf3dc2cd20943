"""What the functions of a build file may ask: the context, files, images, the platform."""

from __future__ import annotations

import json
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from lamina.base.errors import InvalidInput, NotFound
from lamina.base.git_url import is_git_context
from lamina.base.named_tuple import NamedTuple
from lamina.base.reference import parse_reference
from lamina.dockerfile.input_metadata import read_input_metadata
from lamina.states.node import Evaluation
from lamina.states.sources import client_directory, definition_state, git, http

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lamina.base.platform import Platform
    from lamina.gateway.client import GatewayClient
    from lamina.llb.op import Definition
    from lamina.states.state import State

_DIRECTORY = 1 << 31  # of Go's file modes


class Session(NamedTuple):
    """A call of the frontend, for one platform."""

    gateway: GatewayClient
    platform: Platform
    attributes: Mapping[str, str]
    inputs: Mapping[str, Definition]

    @property
    def build_args(self) -> dict[str, str]:
        prefix = "build-arg:"
        return {
            key[len(prefix) :]: value
            for key, value in self.attributes.items()
            if key.startswith(prefix)
        }

    def main_input(self, name: str) -> Definition | None:
        """The input in place of the client's directory `name`, None if there is none.

        An input with this name that is a named context is another one.
        """
        named = (v for key, v in self.attributes.items() if key.startswith("context:"))
        return None if f"input:{name}" in named else self.inputs.get(name)


_current: ContextVar[Session] = ContextVar("session")


@contextmanager
def in_session(session: Session) -> Iterator[None]:
    """Answer the functions below for a session, in this context, during the block."""
    token = _current.set(session)
    try:
        yield
    finally:
        _current.reset(token)


def current_session() -> Session:
    """Raises InvalidInput outside of a build."""
    try:
        return _current.get()
    except LookupError:
        raise InvalidInput(
            "this function only works while a build file is built",
            hint="call it in a function with @target, and run `lamina build -f build.py`",
        ) from None


def context(
    name: str = "context", *, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> State:
    """The build context, or the named context `name` (`--build-context`), as a state.

    Args:
        include: patterns of the files to read, by default all.
        exclude: patterns of files to leave out. A `.dockerignore` file is not read.

    Raises NotFound (no such context).
    """
    session = current_session()
    attributes = session.attributes
    if name == "context":
        if (definition := session.main_input(name)) is not None:
            return definition_state(definition, b"")
        address = attributes.get("context", "")
        return _from_address(address or "local:context", name, include, exclude)
    key = f"context:{name}"
    address = attributes.get(f"{key}::{session.platform}", "") or attributes.get(key, "")
    if not address:
        if name in session.inputs:
            return frontend_input(name)
        given = sorted(
            key.removeprefix("context:") for key in attributes if key.startswith("context:")
        )
        listed = ", ".join(given) or "none"
        raise NotFound(
            f"there is no context {name}",
            hint=f"pass it: --build-context {name}=DIR; there are: {listed}",
        )
    return _from_address(address, name, include, exclude)


def frontend_input(name: str) -> State:
    """A state that the caller of the frontend passes, such as a target of bake. Raises NotFound."""
    session = current_session()
    if name not in session.inputs:
        raise NotFound(f"the frontend was given no input {name}")
    metadata = session.attributes.get(f"input-metadata:{name}", "")
    return definition_state(session.inputs[name], read_input_metadata(metadata))


def _from_address(address: str, name: str, include: Sequence[str], exclude: Sequence[str]) -> State:
    kind, _, rest = address.partition(":")
    if kind == "local":
        return client_directory(rest, title=f"load {name}", include=include, exclude=exclude)
    if kind == "input":
        return frontend_input(rest)
    if kind == "docker-image":
        from lamina.states.sources import image

        return image(rest.removeprefix("//"))
    if is_git_context(address):
        return git(address)
    if kind in ("http", "https"):
        return http(address)
    raise InvalidInput(f"unsupported context {address}")


def read_file(path: str, source: State | None = None) -> bytes:
    """The content of a file of the context, or of a state, which is built for it.

    Raises NotFound.
    """
    session = current_session()
    state = source if source is not None else context(include=(path.lstrip("/"),))
    ref = _solved(session, state)
    return session.gateway.read_file(ref, path)


def read_directory(path: str = ".", source: State | None = None) -> dict[str, bool]:
    """The names in a directory of the context, or of a state: whether each is a directory.

    Raises NotFound.
    """
    session = current_session()
    ref = _solved(session, source if source is not None else context())
    entries = session.gateway.read_directory(ref, path)
    return {entry.path: bool(entry.mode & _DIRECTORY) for entry in entries}


def image_config(reference: str) -> dict[str, Any]:
    """The configuration of an image (OCI image specification, `config.md`). Raises NotFound."""
    session = current_session()
    name = str(parse_reference(reference))
    found: dict[str, Any] = json.loads(
        session.gateway.resolve_image_config(name, session.platform).config
    )
    return found


def platform() -> str:
    """The target platform, such as `linux/amd64`."""
    return str(current_session().platform)


def _solved(session: Session, state: State) -> str:
    evaluation = Evaluation(session.gateway, session.platform, session.attributes)
    return session.gateway.solve(evaluation.definition(state.node)).id
