"""`lamina run`: runs a container of a stored image on this process's standard streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.base.json_document import load_json_object
from lamina.client.stored import manifest_for_here
from lamina.runtime.contract import BindMount, Network, Process, Sandbox
from lamina.sources.manifests import ResolvedManifest, image_ref

if TYPE_CHECKING:
    from lamina.client.contract import RunRequest
    from lamina.engine.engine import Engine
    from lamina.stores.images import StoredImage
    from lamina.system.cancel import Cancellation


def run_image(engine: Engine, image: StoredImage, request: RunRequest, cancel: Cancellation) -> int:
    """Run a container, and discard its changes. Returns its exit status."""
    blobs = engine.store.blobs
    digest, manifest = manifest_for_here(blobs, image.target.digest, request.image)
    config = blobs.read(manifest.config.digest)
    settings = load_json_object(config, "image configuration").get("config") or {}
    entrypoint = settings.get("Entrypoint") or []
    command = settings.get("Cmd") or []
    if request.entrypoint is not None:
        entrypoint, command = list(request.entrypoint), []
    args = (*entrypoint, *(request.args or command))
    if not args:
        raise InvalidInput(
            f"{request.image} has no default command", hint="give a command after its name"
        )
    env = {entry.partition("=")[0]: entry.partition("=")[2] for entry in settings.get("Env") or []}
    env.update(request.env)
    if request.tty:
        env.setdefault("TERM", "xterm")
    runtime = engine.runtime()
    resolved = ResolvedManifest(digest, manifest, config, digest)
    with engine.store.shared():
        ref = image_ref(engine.refs, resolved, image.name)
        with engine.refs.writable(ref, cancel) as (rootfs, staged):
            status = runtime.attach(
                Process(
                    tuple(args),
                    tuple(f"{name}={value}" for name, value in env.items()),
                    request.cwd or settings.get("WorkingDir") or "/",
                    request.user or settings.get("User") or "",
                ),
                Sandbox(
                    rootfs,
                    tuple(BindMount(*volume, recursive=True) for volume in request.volumes),
                    readonly=request.readonly,
                    hostname=request.hostname,
                    network=Network(request.network),
                ),
                terminal=request.tty,
                interactive=request.interactive,
            )
        engine.refs.discard(staged)
    return status.code
