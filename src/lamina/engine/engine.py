"""The façade: build and export, on one opened store."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from lamina.base.errors import LaminaError
from lamina.cacheio.export import SolvedGraph
from lamina.engine.bridge import DockerfileBridge
from lamina.engine.caches import BuildCaches
from lamina.engine.exports import Exports
from lamina.engine.graph import load_graph
from lamina.engine.pulls import Pulls
from lamina.ops.mounts import MountTable
from lamina.ops.resolve import Workshop, resolve_op
from lamina.refs.packing import LayerUnpacker
from lamina.refs.pool import RefPool
from lamina.refs.ref import Ref
from lamina.solver.scheduler import Scheduler
from lamina.sources.image import ImageResolver
from lamina.stores.cache_mounts import CacheMountStore
from lamina.stores.images import ImageTable
from lamina.stores.layers import LayerTable
from lamina.stores.native import NativeSnapshotter
from lamina.stores.overlay import OverlaySnapshotter
from lamina.stores.snapshots import SnapshotStore
from lamina.system.threads import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.base.events import EventSink
    from lamina.base.platform import Platform
    from lamina.dockerfile.calls import Answer
    from lamina.dockerfile.contract import FrontendRequest, FrontendResult
    from lamina.engine.caches import CacheWishes
    from lamina.exporters.destination import Output
    from lamina.ops.mounts import Restore
    from lamina.refs.result_store import RefResults
    from lamina.registry.client import RegistryClient
    from lamina.runtime.contract import Runtime
    from lamina.session.contract import Session
    from lamina.solver.chain import ChainRecord
    from lamina.sources.contract import Source
    from lamina.stores.store import Store
    from lamina.system.cancel import Cancellation

_THREADS = 32


class DockerfileSpec(NamedTuple):
    """`path` of the Dockerfile ("" for the context's own), or its `data`."""

    path: str = ""
    data: bytes | None = None


class Engine:
    """All of lamina's lower floors, wired, for one store.

    Args:
        overlay: whether the store's snapshots are overlayfs differences.
        tmpfs: a folder on tmpfs for secrets.
    """

    def __init__(self, store: Store, *, overlay: bool, tmpfs: str) -> None:
        self.store = store
        self._tmpfs = tmpfs
        self.snapshots = SnapshotStore(store)
        self.layers = LayerTable(store.database)
        self.images = ImageTable(store.database)
        self.cache_mounts = CacheMountStore(store)
        self._making = threading.Lock()
        self._registry: RegistryClient | None = None
        self._trusted: set[str] = set()
        self._runtime: Runtime | None = None
        self.pulls = Pulls(self.resolver(pull=False))
        unpacker = LayerUnpacker(store.blobs, self.pulls.fetch, overlay=overlay)
        snapshotter = OverlaySnapshotter() if overlay else NativeSnapshotter()
        self.pool = RefPool(store, self.snapshots, self.layers, snapshotter, unpacker)

    def build(
        self,
        request: FrontendRequest,
        dockerfile: DockerfileSpec,
        session: Session,
        outputs: Sequence[Output],
        *,
        pull: bool,
        allowed: frozenset[str],
        wishes: CacheWishes,
        events: EventSink,
        cancel: Cancellation,
    ) -> dict[str, Any]:
        """Convert, solve and export. Returns what `--metadata-file` gets."""
        caches = BuildCaches(self, wishes, events, cancel)
        workshop = self._workshop(
            session, request.platform, pull=pull, allowed=allowed, restore=caches.restore
        )
        bridge = DockerfileBridge(
            session, workshop, events, cancel, dockerfile=dockerfile.path, data=dockerfile.data
        )
        from lamina.dockerfile.build import build

        results = caches.results()
        with self.store.shared(), self.pulls.watched(events):
            converted = build(request, bridge)
            ref, chain = self._solve(converted, workshop, results, caches, events, cancel)
            if ref.local is not None:
                # A named folder in place of a stage: what is exported is what it holds now.
                ref = self.pool.copied(ref, cancel)
            graph = SolvedGraph(chain, results, ref.snapshot)
            exports = Exports(
                self.pool,
                self.store,
                self.images,
                self.registry_of,
                graph if caches.inline else None,
                events,
                cancel,
            )
            metadata = exports.run(outputs, ref, converted.config, bridge.base_config)
            caches.export(graph)
            caches.export_mounts(converted.definition)
            self.pool.settle(cancel)
            self.snapshots.touch(sorted(results.served))
        return metadata

    def call(
        self,
        name: str,
        request: FrontendRequest,
        dockerfile: DockerfileSpec,
        session: Session,
        *,
        pull: bool,
        events: EventSink,
        cancel: Cancellation,
    ) -> Answer:
        """Answer a question about a Dockerfile (`lamina.dockerfile.calls`); nothing is built."""
        from lamina.dockerfile.calls import answer

        workshop = self._workshop(session, request.platform, pull=pull, allowed=frozenset())
        bridge = DockerfileBridge(
            session, workshop, events, cancel, dockerfile=dockerfile.path, data=dockerfile.data
        )
        with self.store.shared():
            return answer(name, request, bridge)

    def runtime(self) -> Runtime:
        """crun or runc, found when first needed. Raises NotFound."""
        with self._making:  # steps ask for it at the same time
            if self._runtime is None:
                from lamina.runtime.cgroups import hide_hybrid_hierarchy
                from lamina.runtime.runner import OciRunner, find_runtime

                hide_hybrid_hierarchy()
                self._runtime = OciRunner(find_runtime(), self.store.scratch, self.store.root)
            return self._runtime

    def registry(self) -> RegistryClient:
        """The registry client, made when first needed."""
        with self._making:
            if self._registry is None:
                from lamina.registry.client import RegistryClient
                from lamina.registry.hosts import configured_hosts

                hosts = configured_hosts()
                for domain in self._trusted:
                    hosts = hosts.trusting(domain)
                self._registry = RegistryClient(hosts)
            return self._registry

    def trust(self, domain: str) -> None:
        """Let a registry be plain HTTP or of an unknown certificate from now on."""
        with self._making:
            self._trusted.add(domain)
            self._registry = None

    def registry_of(self, domain: str, *, insecure: bool) -> RegistryClient:
        """The client to use for one registry, which may be trusted more than the others."""
        if not insecure:
            return self.registry()
        from lamina.registry.client import RegistryClient
        from lamina.registry.hosts import configured_hosts

        return RegistryClient(configured_hosts().trusting(domain))

    def _solve(
        self,
        converted: FrontendResult,
        workshop: Workshop,
        results: RefResults,
        caches: BuildCaches,
        events: EventSink,
        cancel: Cancellation,
    ) -> tuple[Ref, list[ChainRecord]]:
        if converted.definition is None:
            return Ref(), []
        graph = load_graph(converted.definition)
        with WorkerPool(_THREADS, "step") as pool:
            scheduler: Scheduler[Ref] = Scheduler(
                lambda spec: resolve_op(spec, workshop), results, pool
            )
            job = scheduler.open_job(events, cancel)
            try:
                ref = scheduler.solve(job, graph)
                return ref, scheduler.chain(job, graph, results) if caches.exported else []
            except LaminaError:
                cancel.cancel("another step failed")
                raise
            finally:
                scheduler.close_job(job)

    def _workshop(
        self,
        session: Session,
        platform: Platform,
        *,
        pull: bool,
        allowed: frozenset[str],
        restore: Restore | None = None,
    ) -> Workshop:
        import os

        caches = self.store.path("contexts")
        os.makedirs(caches, mode=0o700, exist_ok=True)
        return Workshop(
            pool=self.pool,
            mounts=MountTable(self.pool, self.cache_mounts, session, self._tmpfs, restore),
            session=session,
            images=self.resolver(pull=pull),
            runtime=self.runtime,
            platform=platform,
            allowed=allowed,
            context_caches=caches,
            layout_source=lambda location, wanted: self._layout(session, location, wanted),
            http_source=self._http,
            git_source=lambda place, attrs: self._git(session, place, attrs),
        )

    def resolver(self, *, pull: bool) -> ImageResolver:
        """Finds images by name; with `pull`, in their registries even if they are here."""
        return ImageResolver(self.store, self.images, self.registry, pull=pull)

    def _layout(self, session: Session, location: str, platform: Platform) -> Source:
        from lamina.sources.layout import LayoutSource

        if not location.startswith("/"):
            name, at, digest = location.partition("@")
            location = session.folder(name).path + at + digest
        return LayoutSource(location, platform, self.store.blobs, self.pool)

    def _git(self, session: Session, place: str, attrs: dict[str, str]) -> Source:
        import os

        from lamina.sources.git import GitSource, git_url_of
        from lamina.sources.git_remote import GitRemote

        repositories = self.store.path("git")
        os.makedirs(repositories, mode=0o700, exist_ok=True)
        url = git_url_of(place, attrs)
        remote = GitRemote(url, repositories, self.store.scratch, session)
        return GitSource(url, remote, self.store.scratch, self.pool)

    def _http(self, url: str, attrs: dict[str, str]) -> Source:
        import os

        from lamina.sources.http import HttpSource

        downloads = self.store.path("http")
        os.makedirs(downloads, mode=0o700, exist_ok=True)
        return HttpSource(url, attrs, downloads, self.pool)
