"""What a client serves to a daemon for one build: files, secrets, agents, credentials, outputs."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing, contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING

from lamina.base.errors import from_os_error
from lamina.base.named_tuple import NamedTuple
from lamina.client.frontend_attributes import plain_text
from lamina.client.logins import ConfiguredLogins, ConfiguredTokens
from lamina.client.providers import EmbeddedSession
from lamina.client.token_seeds import TokenSeeds
from lamina.registry.credentials import DockerConfig
from lamina.session.services import credentials_service, health_service, session_services
from lamina.session.tokens import token_service

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lamina.client.contract import BuildRequest, ContextSpec, NamedContext
    from lamina.client.remote_caches import RemoteCaches
    from lamina.client.remote_outputs import RemoteOutputs
    from lamina.registry.hosts import Hosts
    from lamina.wire.contract import Handler

_CONTEXT, _DOCKERFILE = "context", "dockerfile"
_UPLOAD = "http://buildkit-session"


class ServedRequest(NamedTuple):
    """Where the daemon finds the files of a build, in its own words, and what serves them.

    `context` is an address, "" if the client serves the context as a folder; `dockerfile_key` the
    served folder that holds `filename`, "" if the frontend is to look where it always does.
    `contexts` are (name, address), `shared_keys` the keys by which copies of those folders are
    known. `shared_key` is that of the session.
    """

    handlers: dict[str, Handler]
    filename: str
    context: str = ""
    dockerfile_key: str = ""
    contexts: tuple[tuple[str, str], ...] = ()
    shared_keys: tuple[tuple[str, str], ...] = ()
    shared_key: str = ""


@contextmanager
def serve_request(
    request: BuildRequest, outputs: RemoteOutputs, caches: RemoteCaches
) -> Iterator[ServedRequest]:
    """Serve what a request names for the length of the block.

    Raises InvalidInput, NotFound, PermissionDenied.
    """
    with ExitStack() as owned:
        locations = _Locations(owned)
        spec = request.context
        filename, key = _dockerfile(spec, locations)
        context = _context(spec, locations)
        contexts = tuple((named.name, locations.named(named)) for named in spec.named)
        session = owned.enter_context(
            closing(EmbeddedSession(locations.folders, request.providers))
        )
        handlers = {
            **session_services(session),
            **_logins(),
            **health_service(),
            **outputs.handlers(),
        }
        if locations.uploads:
            from lamina.session.services import upload_service

            handlers |= upload_service(locations.uploads)
        stores = {**locations.stores, **caches.stores, **outputs.stores}
        if stores:
            from lamina.session.layouts import content_service

            handlers |= content_service(stores)
        keys = tuple(
            (named.name, _shared_key(named.value)) for named in spec.named if named.kind == "local"
        )
        yield ServedRequest(
            handlers, filename, context, key, contexts, keys, _shared_key(spec.path)
        )


@contextmanager
def serve_in_process(request: BuildRequest, session: EmbeddedSession) -> Iterator[ServedRequest]:
    """The same within one process, where `session` provides everything."""
    with ExitStack() as owned:
        locations = _Locations(owned)
        filename, key = _dockerfile(request.context, locations)
        context = _context(request.context, locations)
        contexts = tuple((named.name, locations.named(named)) for named in request.context.named)
        session.provide(locations.folders, locations.uploads, locations.stores)
        yield ServedRequest({}, filename, context, key, contexts)


def _logins() -> dict[str, Handler]:
    config = DockerConfig()
    tokens = ConfiguredTokens(config, TokenSeeds(config.folder), _hosts)
    return {**credentials_service(ConfiguredLogins(config)), **token_service(tokens)}


def _hosts() -> Hosts:
    from lamina.registry.hosts import configured_hosts

    return configured_hosts()


class _Locations:
    """Folders, stores and streams by the names that they are served under."""

    def __init__(self, owned: ExitStack) -> None:
        self._owned = owned
        self.folders: dict[str, str] = {}
        self.stores: dict[str, str] = {}
        self.uploads: dict[str, Iterable[bytes]] = {}

    def temporary(self) -> str:
        """A folder for the length of the build."""
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
        return context.value

    def _layout(self, location: str) -> str:
        from lamina.sources.layout import FolderLayout, parse_location
        from lamina.system.cancel import Cancellation

        folder, tag, digest = place = parse_location(location)
        pinned = digest or FolderLayout(place).target(Cancellation()).digest
        store = os.urandom(12).hex()
        self.stores[f"oci:{store}"] = folder
        return f"oci-layout://{store}{f':{tag}' if tag else ''}@{pinned}"


def _dockerfile(spec: ContextSpec, locations: _Locations) -> tuple[str, str]:
    """The Dockerfile's name, and the served folder that holds it, "" for the default."""
    if spec.dockerfile_data is not None:
        folder = locations.folders[_DOCKERFILE] = locations.temporary()
        with open(os.path.join(folder, "Dockerfile"), "wb") as file:
            file.write(spec.dockerfile_data)
        return "Dockerfile", _DOCKERFILE
    if os.path.isabs(spec.dockerfile):
        folder, name = os.path.split(spec.dockerfile)
        if plain_text(name) != name:
            return _renamed(spec.dockerfile, locations), _DOCKERFILE
        locations.folders[_DOCKERFILE] = folder
        return name, _DOCKERFILE if spec.elsewhere else ""
    if spec.path:
        locations.folders[_DOCKERFILE] = spec.path
    return spec.dockerfile or "Dockerfile", ""


def _renamed(dockerfile: str, locations: _Locations) -> str:
    """Lend a Dockerfile, and the ignore file beside it, under a name that can be said."""
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


def _context(spec: ContextSpec, locations: _Locations) -> str:
    if spec.url:
        return spec.url
    if spec.archive is not None:
        return locations.upload(spec.archive)
    locations.folders[_CONTEXT] = spec.path
    return ""


def _shared_key(path: str) -> str:
    """The same for builds of one folder on one machine, and for nothing else."""
    if not path:
        return ""
    try:
        with open("/etc/machine-id", "rb") as file:
            machine = file.read().strip()
    except OSError:
        machine = os.uname().nodename.encode()
    identity = b"\0".join((machine, b"%d" % os.geteuid(), os.fsencode(path)))
    return f"{plain_text(os.path.basename(path))}:{sha256(identity).hexdigest()[:32]}"
