"""The composition root of a builder: store, solver, ops, registries and frontends.

`lamina.daemon.wiring` adds the services of a daemon to an engine, and `lamina.client.embedded` the
commands of a builder without a daemon.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.attest.definition_origins import DefinitionOrigins
from lamina.base.platform import host_platform
from lamina.engine.build import Build, BuildOptions
from lamina.engine.caching.build_caches import CacheServices
from lamina.engine.contract import EnginePolicy, EngineServices
from lamina.engine.credential_scoped_op import CredentialScopedOp
from lamina.engine.frontends.table import builtin_frontends
from lamina.engine.registries import Registries, current_requesters
from lamina.engine.shared_session import SharedSession
from lamina.engine.source_factory import EngineSources
from lamina.engine.transfers.layer_fetcher import LayerFetcher
from lamina.engine.transfers.layer_pulls import LayerPulls
from lamina.engine.transfers.open_caches import OpenCaches
from lamina.ops.contract import OpServices
from lamina.ops.resolve import resolve_op
from lamina.refs.manager import RefManager
from lamina.refs.unpacker import LayerUnpacker
from lamina.solver.scheduler import Scheduler
from lamina.sources.image import ImageResolver, ResolveMode
from lamina.stores.cache_mounts import CacheMountStore
from lamina.stores.images import ImageTable
from lamina.stores.layers import LayerTable
from lamina.stores.origins import OriginTable
from lamina.stores.snapshots import SnapshotStore
from lamina.system.threads import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lamina.base.events import EventSink
    from lamina.engine.build import LookupRecorder
    from lamina.engine.host_setup import Host
    from lamina.engine.transfers.client_origins import ClientOrigins
    from lamina.refs.ref import Ref
    from lamina.refs.snapshotter import Snapshotter
    from lamina.registry.client import RegistryClient
    from lamina.registry.hosts import Hosts
    from lamina.runtime.cdi import DeviceRegistry
    from lamina.runtime.contract import Runtime
    from lamina.session.contract import Session
    from lamina.solver.contract import Op, VertexSpec
    from lamina.solver.job import Job
    from lamina.solver.planning import Planner
    from lamina.stores.origins import LayerOrigins
    from lamina.stores.store import Store
    from lamina.system.cancel import Cancellation

_IMAGES = ("docker-image://", "oci-layout://")
_THREADS = 256  # a step that waits (for a lock, a nested build) occupies one; they start on demand


class Engine:
    """Runs builds on one store. `close` joins its threads.

    Args:
        host: what this process may do.
        hosts: how registries are reached; by default from the machine's configuration files.
    """

    def __init__(
        self,
        store: Store,
        host: Host,
        *,
        hosts: Callable[[], Hosts] | None = None,
        policy: EnginePolicy = EnginePolicy(),  # noqa: B008 - a value
    ) -> None:
        self.store = store
        self.policy = policy
        self.snapshots = SnapshotStore(store)
        self.layers = LayerTable(store.database)
        self.images = ImageTable(store.database)
        self.cache_mounts = CacheMountStore(store)
        self._hosts = hosts
        self._host = host
        self._making = threading.Lock()
        self.registries = Registries(self.hosts, policy.logins, policy.transfers)
        self._runtime: Runtime | None = None
        self._hurried = False
        origins: LayerOrigins = OriginTable(store.database)
        self._client_origins: ClientOrigins | None = None
        if not self.registries.shared:
            from lamina.engine.transfers.client_origins import ClientOrigins

            origins = self._client_origins = ClientOrigins(origins)
        open_caches = OpenCaches()
        fetcher = LayerFetcher(
            store.blobs,
            self.registries.clients,
            lambda: [requester.session for requester in current_requesters()],
            open_caches,
        )
        self.pulls = LayerPulls(store.blobs, origins, fetcher)
        snapshotter = _snapshotter(store, host)
        unpacker = LayerUnpacker(store.blobs, self.pulls.fetch, snapshotter)
        self.refs = RefManager(store, self.snapshots, self.layers, origins, snapshotter, unpacker)
        self.sources = EngineSources(store, self.refs, self.registry)
        contexts = store.path("contexts")
        os.makedirs(contexts, mode=0o700, exist_ok=True)
        self._services = OpServices(
            refs=self.refs,
            cache_mounts=self.cache_mounts,
            resolver=self.resolver,
            runtime=self.runtime,
            sources=self.sources,
            platform=host_platform(),
            contexts=contexts,
            tmpfs=host.tmpfs,
        )
        self._workers = WorkerPool(_THREADS, "step")
        self.scheduler: Scheduler[Ref] = Scheduler(self._resolve, self._workers)
        self._builds: dict[Job[Ref], Build] = {}
        self.services = EngineServices(
            policy,
            store,
            self.snapshots,
            self.images,
            self.cache_mounts,
            self.refs,
            self.sources,
            self.scheduler,
            builtin_frontends(),
            DefinitionOrigins(),
            CacheServices(
                store,
                self.refs,
                self.cache_mounts,
                self.registry_of,
                self.pulls.available,
                open_caches,
            ),
            self.resolver,
            self.registry_of,
            self.runtime,
            self.devices,
            host.tmpfs,
        )

    def close(self) -> None:
        """Close the engine. No build may be open."""
        self._workers.close()

    @contextmanager
    def open_build(
        self,
        session: Session,
        options: BuildOptions,
        events: EventSink,
        cancel: Cancellation,
        recorder: LookupRecorder | None = None,
        planner: Planner[Ref] | None = None,
    ) -> Iterator[Build]:
        """Open a build for the block. Cancelling `cancel` stops it soon.

        `recorder` gets what the build solves, and how the caches answered. With a `planner` only
        sources are read.
        """
        with self.store.shared(), self.pulls.watched(events):
            services = self.services
            if planner is not None:
                services = services._replace(scheduler=planner)
            build = Build(services, session, options, events, cancel, recorder)
            with self._making:
                self._builds[build.job] = build
            self.refs.enter(build)
            failed = True
            try:
                with build.as_requester():
                    yield build
                failed = False
            finally:
                try:
                    build.close(failed=failed, alone=len(self._builds) == 1)
                finally:
                    with self._making:
                        del self._builds[build.job]
                        last = all(b.session is not session for b in self._builds.values())
                    if last:
                        self.registries.forget(session)
                        if self._client_origins is not None:
                            self._client_origins.forget(session)
                    self.refs.leave(build)

    def planner(self) -> Planner[Ref]:
        """A scheduler for builds that are only planned. It reads sources except images."""
        from lamina.llb.codec import decode_op
        from lamina.solver.planning import Planner

        def reads(spec: VertexSpec) -> bool:
            source = decode_op(spec.data).source
            return source is not None and not source.identifier.startswith(_IMAGES)

        return Planner(self._resolve, self._workers, reads)

    def runtime(self) -> Runtime:
        """crun or runc, found when it is first needed. Raises NotFound."""
        with self._making:  # steps call this concurrently
            if self._runtime is None:
                from lamina.runtime.binary import find_runtime
                from lamina.runtime.cgroups import hide_hybrid_hierarchy
                from lamina.runtime.configured import settings_from
                from lamina.runtime.contract import STOP_TIMEOUT, RuntimeSettings
                from lamina.runtime.runner import OciRunner

                hide_hybrid_hierarchy()
                settings = self.policy.runtime or settings_from(os.environ, self._host.tmpfs)
                binary = find_runtime(settings.binary, self._host.ids)
                runner = OciRunner(
                    binary,
                    self._host.tmpfs,
                    self.store.root,
                    settings.stop_timeout,
                    self._host.ids,
                )
                if self._hurried:
                    runner.hurry()
                self._runtime = runner
                if settings._replace(stop_timeout=STOP_TIMEOUT) != RuntimeSettings():
                    from lamina.runtime.configured import ConfiguredRuntime

                    self._runtime = ConfiguredRuntime(runner, settings)
            return self._runtime

    def hurry(self) -> None:
        """Kill cancelled steps that still run. From now on, cancelling kills at once."""
        with self._making:
            self._hurried = True
            runtime = self._runtime
        if runtime is not None:
            runtime.hurry()

    def devices(self) -> DeviceRegistry:
        """The machine's devices."""
        from lamina.runtime.cdi import DeviceRegistry

        return DeviceRegistry() if self.policy.devices is None else self.policy.devices

    def registry(self) -> RegistryClient:
        """The registry client of the current requester (see `registries`)."""
        return self.registries.client()

    def hosts(self) -> Hosts:
        """How registries are reached."""
        from lamina.registry.hosts import configured_hosts

        return (self._hosts or configured_hosts)()

    def registry_of(self, domain: str, *, insecure: bool) -> RegistryClient:
        """The client for one registry. With `insecure`, it trusts `domain`."""
        return self.registries.client(domain, insecure=insecure)

    def resolver(self, mode: ResolveMode) -> ImageResolver:
        """Resolves image names."""
        return ImageResolver(
            self.store, self.images, self.registry, mode, remembers=self.registries.shared
        )

    def _resolve(self, spec: VertexSpec, waiting: Callable[[], Sequence[Job[Ref]]]) -> Op[Ref]:
        def current() -> list[Build]:
            return [build for job in waiting() if (build := self._builds.get(job)) is not None]

        shared = SharedSession(current, self.policy.find_session)
        return CredentialScopedOp(resolve_op(spec, self._services, shared), current)


def _snapshotter(store: Store, host: Host) -> Snapshotter:
    if host.overlay:
        from lamina.refs.overlay import OverlaySnapshotter
        from lamina.system.mount import ShortNames

        names = ShortNames(os.path.join(store.scratch, "layers"))
        return OverlaySnapshotter(names, host.metadata)
    from lamina.refs.native import NativeSnapshotter

    return NativeSnapshotter(host.metadata)
