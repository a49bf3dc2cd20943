"""The files of a build request, and their names for the Dockerfile frontend."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from lamina.base.errors import from_os_error
from lamina.base.named_tuple import NamedTuple
from lamina.client.frontend_attributes import plain_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lamina.client.contract import BuildRequest, ContextSpec, NamedContext
    from lamina.client.providers import EmbeddedSession
    from lamina.wire.contract import Handler

_CONTEXT, _DOCKERFILE = "context", "dockerfile"
_UPLOAD = "http://buildkit-session"


class ServedRequest(NamedTuple):
    """The names of a build's files for the daemon, and the services that provide them.

    `context` is an address, "" if the client serves the context as a directory. `dockerfile_key` is
    the name of the served directory with `filename`, "" for the frontend's default. `contexts` are
    (name, address). `shared_keys` identify the daemon's copies of those directories, and
    `shared_key` is that of the session.
    """

    handlers: dict[str, Handler]
    filename: str
    context: str = ""
    dockerfile_key: str = ""
    contexts: tuple[tuple[str, str], ...] = ()
    shared_keys: tuple[tuple[str, str], ...] = ()
    shared_key: str = ""


@contextmanager
def serve_in_process(request: BuildRequest, session: EmbeddedSession) -> Iterator[ServedRequest]:
    """Provide the files of a request in `session` for the block.

    Raises InvalidInput, NotFound.
    """
    with ExitStack() as owned:
        locations = Locations(owned, in_process=True)
        filename, key = dockerfile_in(request.context, locations)
        context = context_in(request.context, locations)
        contexts = tuple((named.name, locations.named(named)) for named in request.context.named)
        session.provide(
            locations.folders, locations.uploads, locations.stores, request.context.made_at
        )
        yield ServedRequest({}, filename, context, key, contexts)


class Locations:
    """Directories, stores and streams by the names under which they are served.

    Args:
        in_process: whether they are read in this process: then names may be any bytes.
    """

    def __init__(self, owned: ExitStack, *, in_process: bool = False) -> None:
        self._owned = owned
        self.in_process = in_process
        self.folders: dict[str, str] = {}
        self.stores: dict[str, str] = {}
        self.uploads: dict[str, Iterable[bytes]] = {}

    def temporary(self) -> str:
        """A temporary directory for the duration of the build."""
        import tempfile

        return self._owned.enter_context(tempfile.TemporaryDirectory(prefix="lamina-"))

    def upload(self, pieces: Iterable[bytes]) -> str:
        """The address of a stream."""
        path = f"/{os.urandom(12).hex()}"
        self.uploads[path] = pieces
        return _UPLOAD + path

    def named(self, context: NamedContext) -> str:
        """The address of a named context. Raises NotFound, InvalidInput."""
        match context.kind:
            case "local":
                self.folders[context.folder_name] = context.value
                return f"local:{context.folder_name}"
            case "oci-layout":
                return self._layout(context.value)
            case "docker-image":
                return f"docker-image://{context.value}"
            case "target":
                return f"target:{context.value}"
        return context.value

    def _layout(self, location: str) -> str:
        from lamina.sources.layout import FolderLayout, parse_location
        from lamina.system.cancel import Cancellation

        folder, tag, digest = place = parse_location(location)
        pinned = digest or FolderLayout(place).target(Cancellation()).digest
        store = os.urandom(12).hex()
        self.stores[f"oci:{store}"] = folder
        return f"oci-layout://{store}{f':{tag}' if tag else ''}@{pinned}"


def dockerfile_in(spec: ContextSpec, locations: Locations) -> tuple[str, str]:
    """The Dockerfile's name, and the name of the served directory with it, "" for the default."""
    if spec.dockerfile_data is not None:
        folder = locations.folders[_DOCKERFILE] = locations.temporary()
        with open(os.path.join(folder, "Dockerfile"), "wb") as file:
            file.write(spec.dockerfile_data)
        return "Dockerfile", _DOCKERFILE
    if os.path.isabs(spec.dockerfile):
        folder, name = os.path.split(spec.dockerfile)
        if plain_text(name) != name and not locations.in_process:
            return _renamed(spec.dockerfile, locations), _DOCKERFILE
        locations.folders[_DOCKERFILE] = folder
        return name, _DOCKERFILE if spec.elsewhere else ""
    if spec.path or (locations.in_process and not spec.elsewhere):
        locations.folders[_DOCKERFILE] = spec.path
    return spec.dockerfile or "Dockerfile", ""


def _renamed(dockerfile: str, locations: Locations) -> str:
    """Provide a Dockerfile, and its ignore file, under a printable name."""
    import shutil

    folder = locations.folders[_DOCKERFILE] = locations.temporary()
    name = plain_text(os.path.basename(dockerfile))
    for ending in ("", ".dockerignore"):
        try:
            shutil.copyfile(dockerfile + ending, os.path.join(folder, name + ending))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise from_os_error(error, "read the Dockerfile") from error
    return name


def context_in(spec: ContextSpec, locations: Locations) -> str:
    if spec.url:
        return spec.url
    if spec.archive is not None:
        return locations.upload(spec.archive)
    locations.folders[_CONTEXT] = spec.path
    return ""
