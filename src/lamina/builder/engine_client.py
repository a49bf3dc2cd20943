"""An embedded builder whose engine runs in a child process."""

from __future__ import annotations

import subprocess
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lamina.base.errors import LaminaError, Unavailable
from lamina.builder.child_process import start_module
from lamina.builder.engine_calls import (
    CALL,
    Opened,
    Outcome,
    Request,
    TargetEvent,
    dump,
    load,
)
from lamina.client.bridge_connection import return_result
from lamina.gateway.client import GatewayClient
from lamina.system.cancel import Cancellation
from lamina.wire.client import GrpcChannel
from lamina.wire.contract import StatusError
from lamina.wire.transport import SocketTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lamina.base.events import Event, EventSink
    from lamina.base.usage import CacheRecord, UsageFilter
    from lamina.client.contract import (
        BuildOutcome,
        BuildRequest,
        CallAnswer,
        ClientFrontend,
        ImageSummary,
        PruneOutcome,
        PruneRequest,
    )
    from lamina.records.plan import BuildPlan

_END_SECONDS = 30.0
"""How long the engine may take to clean up when the builder is closed."""


class EngineClient:
    """Implements `lamina.client.contract.Builder`, and the images of the store. Close it."""

    def __init__(self, root: str) -> None:
        self._process, connected = start_module(
            "lamina.builder.engine_process",
            root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            own_session=True,  # Ctrl-C reaches the caller alone, which cancels
        )
        self._channel = GrpcChannel(SocketTransport(connected))

    def close(self) -> None:
        """End the engine. What it still builds is cancelled."""
        self._channel.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def hurry(self) -> None:
        self._ask("hurry")

    def build(self, request: BuildRequest, events: EventSink, cancel: Cancellation) -> BuildOutcome:
        outcome: BuildOutcome = self._ask("build", request, events=events, cancel=cancel)
        return outcome

    def build_in_client(
        self,
        request: BuildRequest,
        frontend: ClientFrontend,
        events: EventSink,
        cancel: Cancellation,
    ) -> BuildOutcome:
        outcome: BuildOutcome = self._with_frontend(
            "build_in_client", request, frontend, events, cancel
        )
        return outcome

    def build_all(
        self,
        requests: Mapping[str, BuildRequest],
        events: Callable[[str], EventSink],
        cancel: Cancellation,
    ) -> Mapping[str, BuildOutcome]:
        sinks = {name: events(name) for name in requests}

        def sort(message: TargetEvent) -> None:
            sinks[message.target](message.event)

        outcomes: Mapping[str, BuildOutcome] = self._ask(
            "build_all", dict(requests), events=sort, cancel=cancel
        )
        return outcomes

    def plan(self, request: BuildRequest, cancel: Cancellation) -> BuildPlan:
        """What `build` would do, without running anything."""
        plan: BuildPlan = self._ask("plan", request, cancel=cancel)
        return plan

    def plan_in_client(
        self, request: BuildRequest, frontend: ClientFrontend, cancel: Cancellation
    ) -> BuildPlan:
        """What `build_in_client` would do, without running anything."""
        plan: BuildPlan = self._with_frontend("plan_in_client", request, frontend, None, cancel)
        return plan

    def call(
        self, name: str, request: BuildRequest, events: EventSink, cancel: Cancellation
    ) -> CallAnswer:
        answer: CallAnswer = self._ask("call", name, request, events=events, cancel=cancel)
        return answer

    def disk_usage(self, filters: UsageFilter) -> Sequence[CacheRecord]:
        records: Sequence[CacheRecord] = self._ask("disk_usage", filters)
        return records

    def prune(self, request: PruneRequest, cancel: Cancellation) -> PruneOutcome:
        outcome: PruneOutcome = self._ask("prune", request, cancel=cancel)
        return outcome

    def push(
        self, name: str, *, insecure: bool, events: EventSink, cancel: Cancellation
    ) -> Mapping[str, Any]:
        """Push an image of the store."""
        found: Mapping[str, Any] = self._ask(
            "push", name, events=events, cancel=cancel, insecure=insecure
        )
        return found

    def pull(
        self, name: str, *, platform: str, events: EventSink, cancel: Cancellation
    ) -> ImageSummary:
        """Pull an image into the store."""
        summary: ImageSummary = self._ask(
            "pull", name, events=events, cancel=cancel, platform=platform
        )
        return summary

    def images(self) -> Sequence[ImageSummary]:
        """The images of the store, newest first."""
        found: Sequence[ImageSummary] = self._ask("images")
        return found

    def remove_image(self, name: str) -> ImageSummary:
        """Remove a name, or an image by its digest."""
        summary: ImageSummary = self._ask("remove_image", name)
        return summary

    def inspect(self, name: str) -> Mapping[str, Any]:
        """An image as a JSON document."""
        found: Mapping[str, Any] = self._ask("inspect", name)
        return found

    def _with_frontend(
        self,
        method: str,
        request: BuildRequest,
        frontend: ClientFrontend,
        events: EventSink | None,
        cancel: Cancellation,
    ) -> Any:
        """Call a method that runs a frontend of this process. Raises its error too."""
        running: _Frontend | None = None

        def opened(message: Opened) -> None:
            nonlocal running
            gateway = GatewayClient(self._channel, build=message.ref, cancel=cancel)
            running = _Frontend(gateway, frontend, message.attributes)

        try:
            result = self._ask(method, request, events=events, cancel=cancel, opened=opened)
        except LaminaError:
            if running is not None and (failure := running.wait()) is not None:
                raise failure from None
            raise
        if running is not None:
            running.wait()
        return result

    def _ask(
        self,
        method: str,
        *arguments: Any,
        events: Callable[[Any], None] | None = None,
        cancel: Cancellation | None = None,
        opened: Any = None,
        **options: Any,
    ) -> Any:
        request = Request(method, arguments, options, events is not None, cancel is not None)
        try:
            with self._channel.open(CALL) as call:
                call.send(dump(request))

                def stop() -> None:
                    with suppress(StatusError):
                        call.send(dump(None))

                with (cancel or Cancellation()).calling(stop):
                    while (data := call.receive()) is not None:
                        message: Event | Opened | Outcome | TargetEvent = load(data)
                        if isinstance(message, Outcome):
                            if message.error is not None:
                                raise message.error
                            return message.result
                        if isinstance(message, Opened):
                            opened(message)
                        elif events is not None:
                            events(message)
        except StatusError as error:
            raise self._gone() from error
        raise self._gone()

    def _gone(self) -> Unavailable:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        status = self._process.returncode
        how = "ended" if status is None else f"ended with status {status}"
        return Unavailable(f"the engine process {how}", hint="connect again")


class _Frontend:
    """A frontend of the caller's, in a thread."""

    def __init__(
        self, gateway: GatewayClient, frontend: ClientFrontend, attributes: Mapping[str, str]
    ) -> None:
        self._gateway = gateway
        self._frontend = frontend
        self._attributes = attributes
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="frontend", daemon=True)
        self._thread.start()

    def wait(self) -> BaseException | None:
        """Wait for its end. Returns its error."""
        self._thread.join()
        return self._failure

    def _run(self) -> None:
        try:
            return_result(self._gateway, lambda gateway: self._frontend(gateway, self._attributes))
        except BaseException as error:
            self._failure = error
