"""The Builder in a daemon: lamina's or buildkitd."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lamina.api import control as api
from lamina.api.message import unary
from lamina.base.errors import LaminaError, NotFound, PermissionDenied, Unavailable, Unsupported
from lamina.client.contract import BuildOutcome
from lamina.client.frontend_attributes import (
    check_text,
    entitlements,
    frontend_attributes,
    frontend_of,
)
from lamina.client.remote_caches import RemoteCaches
from lamina.client.remote_outputs import RemoteOutputs
from lamina.client.request_services import serve_request
from lamina.client.watching import watched
from lamina.session.opening import new_session_id, open_session
from lamina.wire.address import dial
from lamina.wire.contract import Code, StatusError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lamina.api.gateway import Result
    from lamina.base.events import EventSink
    from lamina.base.platform import Platform
    from lamina.base.usage import CacheRecord, UsageFilter
    from lamina.client.build_group import GroupMember
    from lamina.client.contract import (
        BuildRequest,
        CallAnswer,
        ClientFrontend,
        PruneOutcome,
        PruneRequest,
    )
    from lamina.client.served_files import ServedRequest
    from lamina.gateway.client import GatewayClient
    from lamina.records.plan import BuildPlan
    from lamina.system.cancel import Cancellation
    from lamina.wire.client import GrpcChannel
    from lamina.wire.contract import Channel, Metadata

_GONE = (Code.UNAVAILABLE, Code.CANCELLED)


@contextmanager
def open_remote(
    address: str, tls: ssl.SSLContext | None = None, *, server_name: str = ""
) -> Iterator[RemoteBuilder]:
    """Connect to a daemon at `unix://path` or `tcp://host:port` for the block.

    Raises InvalidInput, NotFound, PermissionDenied, Unavailable.
    """
    with open_channel(address, tls, server_name=server_name) as channel:
        yield RemoteBuilder(channel, address)


def open_channel(
    address: str, tls: ssl.SSLContext | None = None, *, server_name: str = ""
) -> GrpcChannel:
    """A connection to a daemon. Close it. Raises as `open_remote` does."""
    try:
        return dial(address, tls, server_name=server_name)
    except (NotFound, PermissionDenied, Unavailable) as error:
        raise error.with_context(hint=error.hint or _hint(error, address)) from error


def _hint(error: LaminaError, address: str) -> str:
    where = "set its address with --builder, LAMINA_HOST or BUILDKIT_HOST; --root uses no daemon"
    if isinstance(error, PermissionDenied):
        return f"run as root, or as a member of the group that owns the socket; {where}"
    return f"is a daemon running there? `lamina daemon --addr {address}` starts one; {where}"


class RemoteBuilder:
    """Implements `lamina.client.contract.Builder`.

    Args:
        address: the daemon's address, for messages.
    """

    def __init__(self, channel: Channel, address: str) -> None:
        self._channel = channel
        self._address = address

    def hurry(self) -> None:
        """Do nothing: the daemon decides how long a cancelled step may continue."""

    def platforms(self) -> Sequence[Platform]:
        """The platforms that the daemon's workers run. Raises Unavailable."""
        from lamina.client.workers import list_workers, platforms_of

        with self._translated():
            return platforms_of(list_workers(self._channel))

    def build_all(
        self,
        requests: Mapping[str, BuildRequest],
        events: Callable[[str], EventSink],
        cancel: Cancellation,
    ) -> Mapping[str, BuildOutcome]:
        from lamina.client.build_group import make_group_of_sessions, run_group

        def build(member: GroupMember) -> BuildOutcome:
            if member.needed or member.dependents:
                return self._build_linked(member, events(member.name))
            return self.build(member.request, events(member.name), member.cancel)

        return run_group(make_group_of_sessions(requests, cancel), build)

    def _build_linked(self, member: GroupMember, events: EventSink) -> BuildOutcome:
        """Build a member of a group that needs others, or is needed by them."""
        from lamina.client.client_frontend import run_in_client
        from lamina.client.linked_results import linked_gateway_result, refs_of

        def solve(message: api.SolveRequest) -> api.SolveResponse:
            def frontend(client: GatewayClient) -> Result:
                attributes, inputs = member.inputs(dict(message.frontend_attrs))
                result = client.run_frontend(frontend_of(member.request), attributes, inputs)
                if member.dependents:
                    # The steps stay in the daemon's graph, where the other builds find them.
                    for ref in refs_of(result):
                        client.evaluate(ref.id)
                    member.publish(linked_gateway_result(result))
                    member.hold()
                return result

            return run_in_client(self._channel, message, frontend, member.cancel)

        return self._build(member.request, solve, events, member.cancel, member.session)

    def build(self, request: BuildRequest, events: EventSink, cancel: Cancellation) -> BuildOutcome:
        def solve(message: api.SolveRequest) -> api.SolveResponse:
            started = message._replace(frontend=frontend_of(request))
            found: api.SolveResponse = self._ask(
                api.SOLVE, started, api.SolveResponse, cancel, _trace_metadata()
            )
            return found

        return self._build(request, solve, events, cancel)

    def build_in_client(
        self,
        request: BuildRequest,
        frontend: ClientFrontend,
        events: EventSink,
        cancel: Cancellation,
    ) -> BuildOutcome:
        from lamina.client.client_frontend import run_in_client

        def solve(message: api.SolveRequest) -> api.SolveResponse:
            attributes = dict(message.frontend_attrs)
            return run_in_client(
                self._channel, message, lambda client: frontend(client, attributes), cancel
            )

        return self._build(request, solve, events, cancel)

    def _build(
        self,
        request: BuildRequest,
        solve: Callable[[api.SolveRequest], api.SolveResponse],
        events: EventSink,
        cancel: Cancellation,
        session_id: str = "",
    ) -> BuildOutcome:
        """Serve the client's side of a build, and have `solve` run it."""
        if request.failure_outputs:
            raise Unsupported(
                "--output-on-failure is not supported with --builder",
                hint="build without a daemon, or remove the flag",
            )
        outputs = RemoteOutputs(request, cancel)
        caches = RemoteCaches(request)
        for folder in caches.missing:
            events(_no_cache(folder))
        ref = request.ref or new_session_id()
        with (
            self._translated(cancel, outputs),
            serve_request(request, outputs, caches) as served,
            self._session(served, session_id) as session,
            watched(self._channel, ref, events),
        ):
            attributes = frontend_attributes(request, served) | caches.attributes()
            check_text(attributes)
            message = api.SolveRequest(
                ref=ref,
                session=session,
                frontend_attrs=tuple(sorted(attributes.items())),
                cache=caches.options(),
                entitlements=entitlements(request),
                exporters=tuple(outputs.exporters),
                source_policy=request.policy,
            )
            response = solve(message)
        metadata = _metadata(response.exporter_response)
        outputs.finish(metadata)
        caches.finish(metadata)
        own = metadata.get("containerimage.config.digest") or metadata.get("containerimage.digest")
        return BuildOutcome(str(own or ""), metadata)

    def plan(self, request: BuildRequest, cancel: Cancellation) -> BuildPlan:
        from lamina.api import planning
        from lamina.records.plan_messages import plan_of

        outputs = RemoteOutputs(request, cancel)
        caches = RemoteCaches(request._replace(cache_to=()))
        with (
            self._translated(cancel, outputs),
            serve_request(request, outputs, caches) as served,
            self._session(served) as session,
        ):
            attributes = frontend_attributes(request, served) | caches.attributes()
            check_text(attributes)
            message = api.SolveRequest(
                ref=new_session_id(),
                session=session,
                frontend=frontend_of(request),
                frontend_attrs=tuple(sorted(attributes.items())),
                cache=caches.options(),
                entitlements=entitlements(request),
                exporters=tuple(outputs.exporters),
                source_policy=request.policy,
            )
            schema = api.SCHEMA | planning.SCHEMA
            try:
                answer = unary(
                    self._channel,
                    planning.PLAN,
                    message,
                    planning.PlanResponse,
                    schema,
                    cancel=cancel,
                )
            except StatusError as error:
                if error.code is Code.UNIMPLEMENTED and not error.details:
                    raise Unsupported(
                        f"the daemon at {self._address} cannot plan a build: it is not a daemon of"
                        " lamina",
                        hint="plan with a store on this machine: --root DIR, or unset LAMINA_HOST"
                        " and BUILDKIT_HOST",
                    ) from error
                raise
        return plan_of(answer)

    def call(
        self, name: str, request: BuildRequest, events: EventSink, cancel: Cancellation
    ) -> CallAnswer:
        from lamina.client.call_answer import answer_of
        from lamina.client.client_frontend import ask_frontend

        outputs = RemoteOutputs(request._replace(outputs=()), cancel)
        caches = RemoteCaches(request._replace(cache_to=()))
        ref = new_session_id()
        with (
            self._translated(cancel, outputs),
            serve_request(request, outputs, caches) as served,
            self._session(served) as session,
            watched(self._channel, ref, events),
        ):
            attributes = frontend_attributes(request, served) | caches.attributes()
            check_text(attributes)
            message = api.SolveRequest(
                ref=ref,
                session=session,
                frontend_attrs=tuple(sorted(attributes.items())),
                entitlements=entitlements(request),
                source_policy=request.policy,
                internal=True,
            )
            frontend = frontend_of(request)
            metadata = ask_frontend(self._channel, message, frontend, name, cancel)
        return answer_of(name, metadata)

    def disk_usage(self, filters: UsageFilter) -> Sequence[CacheRecord]:
        from lamina.client.remote_usage import record_of, wire_filters

        message = api.DiskUsageRequest(wire_filters(filters))
        with self._translated():
            found = self._ask(api.DISK_USAGE, message, api.DiskUsageResponse)
        return [record for record in map(record_of, found.record) if filters.matches(record)]

    def prune(self, request: PruneRequest, cancel: Cancellation) -> PruneOutcome:
        from lamina.client.remote_usage import prune

        with self._translated(cancel):
            return prune(self._channel, request, cancel)

    @contextmanager
    def _session(self, served: ServedRequest, session_id: str = "") -> Iterator[str]:
        session = session_id or new_session_id()
        with open_session(self._channel, served.handlers, session, shared_key=served.shared_key):
            yield session

    def _ask(
        self,
        method: str,
        request: Any,
        response: type[Any],
        cancel: Cancellation | None = None,
        metadata: Metadata = (),
    ) -> Any:
        return unary(
            self._channel, method, request, response, api.SCHEMA, metadata=metadata, cancel=cancel
        )

    @contextmanager
    def _translated(
        self, cancel: Cancellation | None = None, outputs: RemoteOutputs | None = None
    ) -> Iterator[None]:
        """Convert the daemon's errors. A local error takes precedence over the daemon's."""
        try:
            yield
        except StatusError as error:
            from lamina.api.failures import from_status

            if cancel is not None:
                cancel.check()
            if outputs is not None and outputs.failure is not None:
                raise outputs.failure from error
            if self._channel.closed and error.code in _GONE:
                raise Unavailable(
                    f"the connection to the daemon at {self._address} broke: {error.message}",
                    hint="the daemon's log may show the reason",
                ) from error
            raise from_status(error) from error


def _trace_metadata() -> Metadata:
    from lamina.records.trace_parent import VARIABLE, trace_metadata

    return trace_metadata(os.environ) if VARIABLE in os.environ else ()


def _metadata(response: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The metadata of outputs: texts, or JSON in base64."""
    return {key: _value(text) for key, text in response}


def _value(text: str) -> Any:
    import binascii
    import json

    try:
        data = binascii.a2b_base64(text.encode(), strict_mode=True)
        if data.startswith((b"{", b"[")):
            return json.loads(data)
    except ValueError:
        pass
    return text


def _no_cache(folder: str) -> Any:
    from lamina.base.digest import digest_of
    from lamina.base.events import WarningEvent

    return WarningEvent(
        digest_of(b"[internal] caches"), f"there is no cache in {folder}: it is not imported"
    )
