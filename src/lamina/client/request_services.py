"""The services of a client for one build in a daemon: files, secrets, agents, credentials,
outputs."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing, contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING

from lamina.client.frontend_attributes import plain_text
from lamina.client.logins import ConfiguredLogins, ConfiguredTokens
from lamina.client.providers import EmbeddedSession
from lamina.client.served_files import Locations, ServedRequest, context_in, dockerfile_in
from lamina.client.token_seeds import TokenSeeds
from lamina.registry.credentials import DockerConfig
from lamina.session.services import credentials_service, health_service, session_services
from lamina.session.tokens import token_service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.client.contract import BuildRequest
    from lamina.client.remote_caches import RemoteCaches
    from lamina.client.remote_outputs import RemoteOutputs
    from lamina.registry.hosts import Hosts
    from lamina.wire.contract import Handler


@contextmanager
def serve_request(
    request: BuildRequest, outputs: RemoteOutputs, caches: RemoteCaches
) -> Iterator[ServedRequest]:
    """Serve the files of a request for the block.

    Raises InvalidInput, NotFound, PermissionDenied.
    """
    with ExitStack() as owned:
        locations = Locations(owned)
        spec = request.context
        filename, key = dockerfile_in(spec, locations)
        context = context_in(spec, locations)
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


def _logins() -> dict[str, Handler]:
    config = DockerConfig()
    tokens = ConfiguredTokens(config, TokenSeeds(config.folder), _hosts)
    return {**credentials_service(ConfiguredLogins(config)), **token_service(tokens)}


def _hosts() -> Hosts:
    from lamina.registry.hosts import configured_hosts

    return configured_hosts()


def _shared_key(path: str) -> str:
    """A key that is equal only for builds of the same directory on the same machine."""
    if not path:
        return ""
    try:
        with open("/etc/machine-id", "rb") as file:
            machine = file.read().strip()
    except OSError:
        machine = os.uname().nodename.encode()
    identity = b"\0".join((machine, b"%d" % os.geteuid(), os.fsencode(path)))
    return f"{plain_text(os.path.basename(path))}:{sha256(identity).hexdigest()[:32]}"
