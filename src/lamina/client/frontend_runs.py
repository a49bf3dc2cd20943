"""How a build in this process runs its frontend: the engine's, or one behind a bridge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.client.frontend_attributes import frontend_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lamina.attest.options import WantedAttestations
    from lamina.client.contract import BuildRequest
    from lamina.engine.build import Build
    from lamina.engine.build_result import BuildResult, Finished
    from lamina.engine.frontends.llb_bridge import LlbBridge
    from lamina.exporters.destination import Output
    from lamina.llb.op import Definition
    from lamina.system.cancel import Cancellation

    Serve = Callable[[LlbBridge, Mapping[str, str]], None]
    """Connects a frontend with a bridge, and returns when the frontend has ended. It gets the
    attributes of `ClientFrontend`, too."""

    RunFrontend = Callable[[Build, BuildRequest, Mapping[str, str]], BuildResult]
    """Runs the frontend of a request, with its attributes."""


def run_frontend(
    build: Build,
    request: BuildRequest,
    attributes: Mapping[str, str],
    inputs: Mapping[str, Definition] = {},
) -> BuildResult:
    """Run the engine's frontend of a request. Raises its error as a LaminaError."""
    from lamina.wire.contract import StatusError

    try:
        return build.run_frontend(frontend_of(request), attributes, inputs)
    except StatusError as error:
        from lamina.api.failures import from_status

        raise from_status(error) from error


def bridged(serve: Serve) -> RunFrontend:
    """Runs a frontend that `serve` connects."""
    from lamina.client.bridge_connection import run_bridged

    return lambda build, _, attributes: run_bridged(build, serve, attributes)


def finish(
    build: Build,
    result: BuildResult,
    outputs: Sequence[Output],
    attestations: WantedAttestations | None,
    cancel: Cancellation,
) -> Finished:
    """Write the outputs of a result."""
    from lamina.exporters.local_receiver import LocalReceiver

    return build.finish(result, outputs, LocalReceiver(cancel), attestations)
