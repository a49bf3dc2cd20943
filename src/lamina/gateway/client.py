"""Calls of the gateway service `moby.buildkit.v1.frontend.LLBBridge`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.api import gateway as api
from lamina.api.failures import from_status
from lamina.api.message import unary
from lamina.api.sourcemeta import ResolveImageConfigRequest, ResolveImageConfigResponse
from lamina.base.errors import LaminaError
from lamina.base.named_tuple import NamedTuple
from lamina.llb.platform import llb_platform
from lamina.wire.contract import StatusError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamina.api.filesync import Stat
    from lamina.base.platform import Platform
    from lamina.gateway.containers import GatewayContainers
    from lamina.llb.op import Definition
    from lamina.system.cancel import Cancellation
    from lamina.wire.contract import Channel

BUILD_ID = "buildkit-controlapi-buildid"
"""The header that names a call's build, for frontends that run in clients."""


_OCI_LAYOUT = 1


class ImageConfig(NamedTuple):
    """A resolved image: its reference after source policies, its digest and its configuration."""

    reference: str
    digest: str
    config: bytes


class GatewayClient:
    """The gateway of one build. Thread-safe.

    All methods raise members of `lamina.base.errors`.

    Args:
        build: the ref of the build, "" for a frontend that runs in a container of its build.
    """

    def __init__(
        self, channel: Channel, *, build: str = "", cancel: Cancellation | None = None
    ) -> None:
        self._channel = channel
        self._metadata = ((BUILD_ID, build),) if build else ()
        self._cancel = cancel

    def ping(self) -> api.PongResponse:
        """The capabilities and workers of the builder."""
        found: api.PongResponse = self._call(api.PING, api.PingRequest(), api.PongResponse)
        return found

    def inputs(self) -> dict[str, Definition]:
        """The definitions that the client passed to the frontend, by name."""
        answer = self._call(api.INPUTS, api.InputsRequest(), api.InputsResponse)
        return dict(answer.definitions)

    def resolve_image_config(
        self, reference: str, platform: Platform, *, mode: str = "", name: str = ""
    ) -> ImageConfig:
        """Resolve an image. `mode` is `default`, `pull` or `local`; `name` that of the step."""
        return self._resolve(
            ResolveImageConfigRequest(reference, llb_platform(platform), mode, name)
        )

    def resolve_layout_config(
        self, location: str, store: str, platform: Platform, *, name: str = ""
    ) -> ImageConfig:
        """Resolve an image of an OCI layout that the client's session provides as `store`."""
        return self._resolve(
            ResolveImageConfigRequest(
                location,
                llb_platform(platform),
                log_name=name,
                resolver_type=_OCI_LAYOUT,
                store_id=store,
            )
        )

    def _resolve(self, request: ResolveImageConfigRequest) -> ImageConfig:
        answer = self._call(api.RESOLVE_IMAGE_CONFIG, request, ResolveImageConfigResponse)
        return ImageConfig(answer.ref or request.ref, answer.digest, answer.config)

    def solve(self, definition: Definition, *, evaluate: bool = False) -> api.Ref:
        """A reference to the result of a definition. It runs when it is first needed."""
        result = self._solve(api.SolveRequest(definition, evaluate=evaluate))
        return result.ref or api.Ref()

    def run_frontend(
        self, name: str, attributes: Mapping[str, str], inputs: Mapping[str, Definition]
    ) -> api.Result:
        """The result of another frontend."""
        return self._solve(
            api.SolveRequest(
                frontend=name,
                frontend_opt=tuple(sorted(attributes.items())),
                frontend_inputs=tuple(sorted(inputs.items())),
            )
        )

    def _solve(self, request: api.SolveRequest) -> api.Result:
        request = request._replace(allow_result_return=True, allow_result_array_ref=True)
        answer = self._call(api.SOLVE, request, api.SolveResponse)
        return answer.result or api.Result()

    def evaluate(self, ref: str) -> None:
        """Run what a result needs, now."""
        self._call(api.EVALUATE, api.EvaluateRequest(ref), api.EvaluateResponse)

    def read_file(self, ref: str, path: str) -> bytes:
        """The content of a file in a result."""
        answer = self._call(api.READ_FILE, api.ReadFileRequest(ref, path), api.ReadFileResponse)
        data: bytes = answer.data
        return data

    def read_directory(self, ref: str, path: str, pattern: str = "") -> Sequence[Stat]:
        """The entries of a directory in a result whose names match `pattern`."""
        request = api.ReadDirRequest(ref, path, pattern)
        answer = self._call(api.READ_DIR, request, api.ReadDirResponse)
        entries: Sequence[Stat] = answer.entries
        return entries

    def containers(self) -> GatewayContainers:
        """The containers that this client runs in the build."""
        from lamina.gateway.containers import GatewayContainers

        return GatewayContainers(self._channel, self._metadata, self._cancel)

    def warn(self, request: api.WarnRequest) -> None:
        """Show a warning with the progress of the build."""
        self._call(api.WARN, request, api.WarnResponse)

    def finish(self, result: api.Result) -> None:
        """Return the frontend's result. It ends the frontend."""
        self._call(api.RETURN, api.ReturnRequest(result), api.ReturnResponse)

    def fail(self, error: StatusError) -> None:
        """Return the frontend's error. It is ignored if the build has ended."""
        from lamina.api.status import status_of

        try:
            self._call(api.RETURN, api.ReturnRequest(error=status_of(error)), api.ReturnResponse)
        except LaminaError:
            return

    def _call(self, method: str, request: Any, response: type[Any]) -> Any:
        try:
            return unary(
                self._channel,
                method,
                request,
                response,
                api.SCHEMA,
                metadata=self._metadata,
                cancel=self._cancel,
            )
        except StatusError as error:
            if self._cancel is not None:
                self._cancel.check()
            raise from_status(error) from error
