"""The builder in this process, without a daemon.

`EmbeddedBuilder` is its composition root: it creates the engine on an open store, and connects it
with the client's files, session and outputs. `lamina.daemon.wiring` is that of a daemon.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from lamina.base.errors import Cancelled, LaminaError, NotFound
from lamina.base.platform import host_platform, parse_platform
from lamina.base.reference import parse_reference
from lamina.client.contract import (
    BuildOutcome,
    CallAnswer,
    ImageSummary,
    PruneOutcome,
)
from lamina.client.embedded_mounts import EmbeddedMounts
from lamina.client.engine_options import (
    attestations_of,
    build_record,
    cache_options,
    failure_outputs_of,
    host_warnings,
    made_outputs,
)
from lamina.client.frontend_attributes import entitlements, frontend_attributes
from lamina.client.frontend_runs import bridged, finish, run_frontend
from lamina.client.outputs import wanted_outputs
from lamina.client.providers import EmbeddedSession
from lamina.client.served_files import serve_in_process
from lamina.engine.build import BuildOptions
from lamina.engine.contract import EnginePolicy
from lamina.engine.engine import Engine
from lamina.engine.host_setup import HostSetup, enter_user_namespace
from lamina.records.expiry import expire_sometimes
from lamina.records.outputs import recorded_images, wire_metadata
from lamina.records.recorder import BuildRecorder, Result
from lamina.records.table import RecordTable
from lamina.sources.image import ResolveMode
from lamina.stores.images import NAMELESS
from lamina.stores.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from lamina.api.history import BuildHistoryRecord
    from lamina.base.events import EventSink, WarningEvent
    from lamina.base.oci import Descriptor
    from lamina.base.platform import Platform
    from lamina.base.usage import CacheRecord, UsageFilter
    from lamina.client.build_group import GroupMember
    from lamina.client.contract import (
        BuildRequest,
        ClientFrontend,
        LocalStore,
        PruneRequest,
        RunRequest,
        SessionProviders,
    )
    from lamina.client.frontend_runs import RunFrontend, Serve
    from lamina.client.local_images import LocalImages
    from lamina.client.scanning import ScannedImage
    from lamina.engine.build import Build, LookupRecorder
    from lamina.engine.build_result import BuildResult
    from lamina.engine.frontends.llb_bridge import LlbBridge
    from lamina.exporters.file_sink import ByteSink
    from lamina.imagediff.image import Image
    from lamina.imagediff.reproducibility import Verdict
    from lamina.ops.debugging import EndedCommand
    from lamina.records.plan import BuildPlan
    from lamina.refs.ref import Ref
    from lamina.runtime.contract import Runtime
    from lamina.solver.planning import Planner
    from lamina.stores.store import Store
    from lamina.system.cancel import Cancellation

_OTLP = "OTEL_EXPORTER_OTLP_"
_IGNORE_LIMIT = 1 << 20


@contextmanager
def open_builder(root: str) -> Iterator[EmbeddedBuilder]:
    """Open the store at `root` and an engine on it. Call it before any thread starts."""
    with (
        open_store(root) as store,
        closing(EmbeddedBuilder(store)) as builder,
    ):
        yield builder


class EmbeddedBuilder(EmbeddedMounts):
    """Implements `lamina.client.contract.LocalStore`.

    The process enters a user namespace if it needs one. The engine is created when it is first
    used, because it creates a mount namespace.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._privileges = enter_user_namespace(store.root)
        self._warnings: tuple[WarningEvent, ...] = ()
        self._engine: Engine | None = None
        self._sessions: dict[str, EmbeddedSession] = {}

    @property
    def engine(self) -> Engine:
        if self._engine is None:
            host = HostSetup(self._store.root, self._privileges).enter()
            self._warnings = host_warnings(self._store.root, host)
            self._engine = Engine(
                self._store,
                host,
                policy=EnginePolicy(find_session=self._find_session),
            )
        return self._engine

    @property
    def _images(self) -> LocalImages:
        from lamina.client.local_images import LocalImages

        return LocalImages(self._store)

    def _find_session(self, session_id: str, cancel: Cancellation) -> EmbeddedSession:
        """The session of another build of `build_all`. Raises NotFound."""
        if (session := self._sessions.get(session_id)) is None:
            raise NotFound(f"no active session {session_id}")
        return session

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()

    def hurry(self) -> None:
        if self._engine is not None:
            self._engine.hurry()

    def build(self, request: BuildRequest, events: EventSink, cancel: Cancellation) -> BuildOutcome:
        with self._served(request) as served:
            return self._build(request, *served, run_frontend, events, cancel)

    def build_in_client(
        self,
        request: BuildRequest,
        frontend: ClientFrontend,
        events: EventSink,
        cancel: Cancellation,
    ) -> BuildOutcome:
        from lamina.client.bridge_connection import run_on_bridge

        def serve(bridge: LlbBridge, attributes: Mapping[str, str]) -> None:
            run_on_bridge(bridge, lambda gateway: frontend(gateway, attributes), cancel)

        return self.build_bridged(request, serve, events, cancel)

    def build_bridged(
        self,
        request: BuildRequest,
        serve: Serve,
        events: EventSink,
        cancel: Cancellation,
    ) -> BuildOutcome:
        """Build the result that a frontend returns to a bridge.

        Args:
            serve: connects the frontend with the bridge, and returns when the frontend has ended.
                It gets the attributes of `ClientFrontend` too.
        """
        with self._served(request) as served:
            return self._build(request, *served, bridged(serve), events, cancel)

    def build_all(
        self,
        requests: Mapping[str, BuildRequest],
        events: Callable[[str], EventSink],
        cancel: Cancellation,
    ) -> Mapping[str, BuildOutcome]:
        from lamina.client.build_group import make_group, run_group
        from lamina.client.linked_results import linked_result

        members = make_group(requests, cancel)
        served: dict[str, tuple[EmbeddedSession, dict[str, str]]] = {}
        _ = self.engine  # it enters a mount namespace, which no thread may precede

        def build(member: GroupMember) -> BuildOutcome:
            session, attributes = served[member.name]
            sink = events(member.name)

            def run(build: Build, _: BuildRequest, given: Mapping[str, str]) -> BuildResult:
                result = run_frontend(build, member.request, *member.inputs(given))
                member.publish(linked_result(result))
                return result

            return self._build(
                member.request, session, attributes, run, sink, member.cancel, member.hold
            )

        with ExitStack() as owned:
            for name, member in members.items():
                serving = self._served(member.request, member.session)
                session, _attributes = served[name] = owned.enter_context(serving)
                self._sessions[member.session] = session
                owned.callback(self._sessions.pop, member.session)
            return run_group(members, build)

    def _build(
        self,
        request: BuildRequest,
        session: EmbeddedSession,
        attributes: dict[str, str],
        run: RunFrontend,
        events: EventSink,
        cancel: Cancellation,
        hold: Callable[[], None] = lambda: None,
    ) -> BuildOutcome:
        """Record a build.

        Args:
            run: runs the frontend.
            hold: called before the build ends.
        """
        wanted = list(wanted_outputs(request))
        outputs = made_outputs(wanted)
        attestations = attestations_of(request)
        failure_outputs = failure_outputs_of(request)
        with self._recorder(request, attributes, wanted, events) as recorder:
            sink = recorder.tee(events)
            with self._opened(request, session, sink, cancel, recorder) as build:
                try:
                    result = run(build, request, attributes)
                    finished = finish(build, result, outputs, attestations, cancel)
                except Cancelled:
                    raise
                except LaminaError as error:
                    if failure_outputs is not None:
                        failure_outputs.write(build, error)
                    raise
                hold()
            metadata = finished.metadata()
            images = Result(recorded_images(outputs, finished.outputs))
            recorder.finish(sorted(wire_metadata(metadata).items()), images)
        own = metadata.get("containerimage.config.digest") or metadata.get("containerimage.digest")
        return BuildOutcome(str(own or ""), metadata)

    def plan(self, request: BuildRequest, cancel: Cancellation) -> BuildPlan:
        """Plan a build. Reads sources, but runs nothing and leaves no record.

        Raises the errors that would stop a build before its first step.
        """
        return self._plan(request, run_frontend, cancel)

    def plan_bridged(self, request: BuildRequest, serve: Serve, cancel: Cancellation) -> BuildPlan:
        """Plan what `build_bridged` would do."""
        return self._plan(request, bridged(serve), cancel)

    def _plan(self, request: BuildRequest, run: RunFrontend, cancel: Cancellation) -> BuildPlan:
        from lamina.records.plan_recorder import PlanRecorder
        from lamina.solver.planning import NotRun

        recorder = PlanRecorder()
        planner = self.engine.planner()
        with (
            self._served(request) as (session, attributes),
            self._opened(request, session, recorder, cancel, recorder, planner) as build,
        ):
            for part in run(build, request, attributes).parts:
                with suppress(NotRun):
                    part.files.ref()
            record = build_record(request, attributes, list(wanted_outputs(request)))
            return recorder.plan(self._store, record, planner.planned(build.job))

    def call(
        self, name: str, request: BuildRequest, events: EventSink, cancel: Cancellation
    ) -> CallAnswer:
        from lamina.client.call_answer import answer_of

        with (
            self._served(request) as (session, attributes),
            self._opened(request, session, events, cancel) as build,
        ):
            result = run_frontend(build, request, {**attributes, "requestid": name})
            return answer_of(name, result.metadata)

    def _build_unrecorded(
        self, request: BuildRequest, events: EventSink, cancel: Cancellation
    ) -> None:
        outputs = made_outputs(wanted_outputs(request))
        with (
            self._served(request) as (session, attributes),
            self._opened(request, session, events, cancel) as build,
        ):
            finish(build, run_frontend(build, request, attributes), outputs, None, cancel)

    @contextmanager
    def _served(
        self, request: BuildRequest, session_id: str = ""
    ) -> Iterator[tuple[EmbeddedSession, dict[str, str]]]:
        """Provide the request's files in a session. Returns it with the frontend attributes."""
        with (
            closing(EmbeddedSession({}, request.providers, session_id)) as session,
            serve_in_process(request, session) as served,
        ):
            yield session, frontend_attributes(request, served)

    def _recorder(
        self,
        request: BuildRequest,
        attributes: Mapping[str, str],
        outputs: Sequence[tuple[str, Mapping[str, str]]],
        events: EventSink,
    ) -> BuildRecorder:
        record = build_record(request, attributes, outputs)
        table = RecordTable(self._store)

        def ended(_: BuildRecorder, record: BuildHistoryRecord | None) -> None:
            expire_sometimes(self._store, table)
            if record is not None and any(name.startswith(_OTLP) for name in os.environ):
                from lamina.client.exported_spans import export_if_wanted

                export_if_wanted(self._store.blobs, record, events)

        return BuildRecorder(self._store, table, record, ended=ended)

    @contextmanager
    def _opened(
        self,
        request: BuildRequest,
        session: EmbeddedSession,
        events: EventSink,
        cancel: Cancellation,
        recorder: LookupRecorder | None = None,
        planner: Planner[Ref] | None = None,
    ) -> Iterator[Build]:
        options = BuildOptions(
            ResolveMode(request.frontend.resolve_mode or ResolveMode.LOCAL),
            frozenset(entitlements(request)),
            cache_options(request),
            () if request.policy is None else (request.policy,),
            planned=planner is not None,
            debugger=request.debugger,
        )
        engine = self.engine
        for warning in self._warnings:
            events(warning)
        with engine.open_build(session, options, events, cancel, recorder, planner) as build:
            yield build

    def push(
        self, name: str, *, insecure: bool, events: EventSink, cancel: Cancellation
    ) -> Mapping[str, Any]:
        from lamina.engine.transfers.stored_images import push_image

        reference = parse_reference(name)
        image = self._images.get(reference)
        if image is None:
            raise NotFound(
                f"no image named {name} in the local store", hint="`lamina images` lists them"
            )
        return push_image(
            self.engine.services,
            self.engine.pulls,
            reference,
            image,
            insecure=insecure,
            events=events,
            cancel=cancel,
        )

    def pull(
        self, name: str, *, platform: str, events: EventSink, cancel: Cancellation
    ) -> ImageSummary:
        from lamina.engine.transfers.stored_images import pull_image

        wanted = parse_platform(platform) if platform else host_platform()
        reference, engine = parse_reference(name), self.engine
        return self._images.summary(
            pull_image(
                engine.services, engine.pulls, reference, wanted, events=events, cancel=cancel
            )
        )

    def images(self) -> Sequence[ImageSummary]:
        return self._images.summaries()

    def remove_image(self, name: str) -> ImageSummary:
        return self._images.remove(name)

    def tag_image(self, name: str, new: str) -> None:
        self._images.tag(name, new)

    def save_images(self, names: Sequence[str], sink: ByteSink, cancel: Cancellation) -> None:
        from lamina.client.image_archives import save_images

        save_images(self._store, self._fetch, self._images.named(names), sink, cancel)

    def load_images(self, path: str, cancel: Cancellation) -> Sequence[str]:
        from lamina.client.image_archives import load_images

        return load_images(self._store, path, cancel)

    def inspect(self, name: str) -> Mapping[str, Any]:
        from lamina.client.stored import describe

        image = self._images.find(name)
        shown = "" if image.name.startswith(NAMELESS) else image.name
        return {"name": shown, **describe(self._store.blobs, image.target.digest)}

    def open_image(
        self, name: str, platform: Platform | None, cancel: Cancellation
    ) -> AbstractContextManager[Image]:
        from lamina.client.image_content import stored_image

        target = self._images.find(name).target
        return stored_image(self._store, self._fetch, name, target, platform, cancel)

    def _fetch(self, layers: Sequence[Descriptor], cancel: Cancellation) -> None:
        if layers:
            self.engine.refs.fetch(layers, cancel)

    def scan(self, name: str, platform: Platform, cancel: Cancellation) -> ScannedImage:
        from lamina.client.scanning import scan_stored

        return scan_stored(self.engine, self._images.find(name), name, platform, cancel)

    def scan_base(
        self, request: BuildRequest, name: str, events: EventSink, cancel: Cancellation
    ) -> ScannedImage:
        from lamina.client.scanning import scan_base

        with (
            self._served(request) as (session, attributes),
            self._opened(request, session, events, cancel) as build,
        ):
            return scan_base(build, run_frontend(build, request, attributes), name, cancel)

    def verify(
        self, request: BuildRequest, events: EventSink, cancel: Cancellation
    ) -> Sequence[Verdict]:
        from lamina.client.verification import verify_build

        def make(store: Store) -> AbstractContextManager[LocalStore]:
            return closing(EmbeddedBuilder(store))

        return verify_build(self._build_unrecorded, self._store, make, request, events, cancel)

    def in_failed_step(
        self,
        ref: str,
        providers: SessionProviders,
        inside: Callable[[EndedCommand, Runtime], int],
        cancel: Cancellation,
    ) -> int:
        from lamina.client.recorded_step import in_failed_step

        return in_failed_step(self.engine, ref, providers, inside, cancel)

    def run(self, request: RunRequest, cancel: Cancellation) -> int:
        from lamina.client.running import run_image

        return run_image(self.engine, self._images.find(request.image), request, cancel)

    def disk_usage(self, filters: UsageFilter) -> Sequence[CacheRecord]:
        from lamina.engine.maintenance.disk_usage import cache_records

        return [record for record in cache_records(self._store) if filters.matches(record)]

    def prune(self, request: PruneRequest, cancel: Cancellation) -> PruneOutcome:
        from lamina.engine.maintenance.prune import PruneRule, prune
        from lamina.records.retention import configured_retention

        removed: list[CacheRecord] = []
        rule = PruneRule(
            request.filter.matches, request.all, request.keep, request.max_used, request.min_free
        )
        RecordTable(self._store).expire(configured_retention())
        freed = prune(self._store, [rule], cancel, removed.append)
        return PruneOutcome(tuple(removed), freed)
