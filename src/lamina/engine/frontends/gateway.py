"""`gateway.v0`: runs a frontend image in a container and serves it on its standard streams.

The image's entrypoint (or `/run`) reads the attributes from `BUILDKIT_FRONTEND_OPT_<n>` and calls
the gRPC service `LLBBridge` until it has returned a result (BuildKit's `frontend/gateway`).
"""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, Any

from lamina.attest.options import without_own_sbom
from lamina.base.booleans import parse_bool
from lamina.base.errors import (
    CommandFailed,
    InvalidInput,
    LaminaError,
    MissingCapability,
    Unsupported,
)
from lamina.base.gotext import quote
from lamina.base.reference import parse_reference
from lamina.dockerfile.attributes import read_attributes
from lamina.dockerfile.image_config import ImageConfig
from lamina.engine.frontends.contexts import Contexts, define
from lamina.engine.steps import step
from lamina.llb.codec import encode_definition
from lamina.llb.op import Op, SourceOp
from lamina.llb.platform import llb_platform
from lamina.runtime.contract import BindMount, Network, Process, Sandbox
from lamina.system.removal import discard_tree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.attest.contract import FrontendCall
    from lamina.engine.build_result import BuildResult
    from lamina.engine.frontends.contract import FrontendBuild
    from lamina.llb.op import Definition

_METADATA = "/run/config/buildkit/metadata"
_CAPABILITIES = "moby.buildkit.frontend.caps"
_NO_NETWORK = "moby.buildkit.frontend.network.none"
_INPUTS = "moby.buildkit.frontend.inputs"
_PRODUCT = "buildkit"
_TAIL = 4096


def run_gateway(
    build: FrontendBuild, call: FrontendCall, inputs: Mapping[str, Definition]
) -> BuildResult:
    """Run the image in the attribute `source`. Raises the error that the frontend returns.

    Raises Unsupported if it lacks a required capability, CommandFailed if it exits without a
    result.
    """
    attrs = call.attrs
    source = attrs.get("source", "")
    if not source:
        raise InvalidInput("no source specified for gateway")
    build.allow_frontend(parse_reference(source).name)
    definition, config = _image(build, source, attrs, inputs)
    settings: dict[str, Any] = {}
    if config:
        settings = ImageConfig.parse(config).settings
    _check_capabilities(settings, attrs, inputs)
    ref = build.solvable(definition).ref()
    network = Network.DEFAULT
    if parse_bool(str((settings.get("Labels") or {}).get(_NO_NETWORK, ""))):
        network = Network.NONE
    with build.refs.writable(ref, build.cancel) as (rootfs, staged):
        try:
            return ContainerFrontend(build, call, inputs, definition).run(
                Process(
                    tuple(settings.get("Entrypoint") or ("/run",)),
                    (*(settings.get("Env") or ()), *call_environment(build, attrs)),
                    settings.get("WorkingDir") or "/",
                    settings.get("User") or "",
                ),
                Sandbox(rootfs, network=network),
            )
        finally:
            build.refs.discard(staged)


class ContainerFrontend:
    """One run of a frontend: a container, the bridge, and two pipes between them.

    Args:
        definition: that of the frontend's own image, which the container can read.
    """

    def __init__(
        self,
        build: FrontendBuild,
        call: FrontendCall,
        inputs: Mapping[str, Definition],
        definition: Definition,
    ) -> None:
        from lamina.engine.frontends.llb_bridge import LlbBridge

        self._build = build
        self._definition = definition
        self._bridge = LlbBridge(build, call, inputs, build.workers)
        self._tail = b""

    def run(self, process: Process, sandbox: Sandbox) -> BuildResult:
        from lamina.engine.frontends.llb_bridge import gone
        from lamina.wire.contract import Peer
        from lamina.wire.server import GrpcServer
        from lamina.wire.transport import PipeTransport

        to_it = os.pipe2(os.O_CLOEXEC)
        from_it = os.pipe2(os.O_CLOEXEC)
        failure: list[LaminaError] = []
        folder = os.path.join(self._build.scratch, f"frontend-{os.urandom(4).hex()}")
        os.mkdir(folder, 0o711)
        with open(os.path.join(folder, "frontend.bin"), "wb") as file:
            file.write(encode_definition(self._definition))
        shown = BindMount(folder, _METADATA, readonly=True)

        def container() -> None:
            try:
                status = self._build.runtime().connect(
                    process,
                    sandbox._replace(mounts=(*sandbox.mounts, shown)),
                    stdin=to_it[0],
                    stdout=from_it[1],
                    stderr=self._keep,
                    cancel=self._build.cancel,
                )
                if status.code:
                    said = self._tail.decode("utf-8", "replace").strip()
                    command = quote(" ".join(process.args))
                    reason = f"process {command} did not complete successfully: "
                    failure.append(
                        CommandFailed(
                            f"{reason}exit code: {status.code}{': ' + said if said else ''}",
                            exit_code=status.code,
                        )
                    )
            except LaminaError as error:
                failure.append(error)
            finally:
                os.close(to_it[0])
                os.close(from_it[1])
                self._bridge.end(gone("frontend grpc server closed unexpectedly"))

        thread = threading.Thread(target=container, name="frontend", daemon=True)
        transport = PipeTransport(from_it[0], to_it[1])
        with GrpcServer(transport, self._bridge.handlers(), Peer("frontend")):
            thread.start()
            try:
                thread.join()
                if failure and not self._bridge.failed:
                    raise failure[0]
                return self._bridge.wait(self._build.cancel)
            finally:
                self._bridge.release_containers()
                _remove(folder)

    def _keep(self, data: bytes) -> None:
        self._tail = (self._tail + data)[-_TAIL:]


def _image(
    build: FrontendBuild, source: str, attrs: Mapping[str, str], inputs: Mapping[str, Definition]
) -> tuple[Definition, bytes]:
    """The frontend's files and image configuration. A named context may replace the image."""
    quiet = {key: attrs[key] for key in attrs if key != "frontend.caps"}
    context = Contexts(build, read_attributes(quiet), inputs).of_image(source)
    if context is not None and context.kind == "definition" and context.definition is not None:
        return context.definition, context.config
    if context is not None and context.kind == "docker-image":
        source = context.value
    elif context is not None:
        raise Unsupported(f"a frontend in a {context.kind} context")
    reference = build.image_by_policy(parse_reference(source), build.platform)
    if reference is None:
        raise InvalidInput(f"a source policy converts the frontend {source} to another kind")
    name = f"resolve image config for docker-image://{reference}"
    resolver = build.resolver(build.resolve_mode)
    with step(name, build.events):
        found = resolver.resolve(reference, build.platform, build.cancel)
    pinned = reference._replace(digest=found.digest)
    op = Op(source=SourceOp(f"docker-image://{pinned}"), platform=llb_platform(build.platform))
    return define(op, f"docker-image://{pinned}"), found.config


def _check_capabilities(
    settings: Mapping[str, Any], attrs: Mapping[str, str], inputs: Mapping[str, Definition]
) -> None:
    has = set(str((settings.get("Labels") or {}).get(_CAPABILITIES, "")).split(","))
    wanted = [word.partition("+")[0] for word in attrs.get("frontend.caps", "").split(",") if word]
    for name in (*wanted, *((_INPUTS,) if inputs else ())):
        if name not in has:
            raise MissingCapability(name)


def call_environment(build: FrontendBuild, attrs: Mapping[str, str]) -> tuple[str, ...]:
    """The call of a frontend, as variables of its container."""
    workers = [
        {
            "ID": worker.id,
            "Labels": dict(worker.labels),
            "Platforms": [{"os": p.os, "architecture": p.architecture} for p in worker.platforms],
        }
        for worker in build.workers
    ]
    return (
        *(
            f"BUILDKIT_FRONTEND_OPT_{number}={key}={value}"
            for number, (key, value) in enumerate(sorted(without_own_sbom(attrs).items()))
        ),
        f"BUILDKIT_SESSION_ID={build.session.id}",
        f"BUILDKIT_WORKERS={json.dumps(workers)}",
        f"BUILDKIT_EXPORTEDPRODUCT={_PRODUCT}",
    )


def _remove(folder: str) -> None:
    discard_tree(folder)
