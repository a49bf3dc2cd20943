"""One build request: its resources in the engine, from opening to closing."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Protocol

from lamina.base.errors import InvalidInput, LaminaError, PermissionDenied
from lamina.base.named_tuple import NamedTuple
from lamina.base.platform import host_platform
from lamina.base.reference import parse_reference
from lamina.cacheio.solved import SolvedGraph
from lamina.engine.build_result import BuildResult, Finished, PlatformResult, Solvable
from lamina.engine.caching.build_caches import BuildCacheOptions, BuildCaches
from lamina.engine.credential_scoped_op import material_of
from lamina.engine.definition_graph import caches_to_reset, load_graph
from lamina.engine.outputs.early_packing import EarlyPacking
from lamina.engine.outputs.step_times import StepTimes
from lamina.engine.registries import on_behalf_of
from lamina.sources.image import ResolveMode
from lamina.sources.pins import BuildPins
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from contextlib import AbstractContextManager

    from lamina.api.sourcepolicy import Policy
    from lamina.api.worker import WorkerRecord
    from lamina.attest.contract import FrontendCall
    from lamina.attest.options import WantedAttestations
    from lamina.attest.provenance import BuildFacts
    from lamina.attest.statements import Attested
    from lamina.base.events import EventSink
    from lamina.base.platform import Platform
    from lamina.base.reference import Reference
    from lamina.cacheio.options import CacheImport, RefusedImport
    from lamina.engine.contract import EngineServices
    from lamina.engine.outputs.exports import Exports
    from lamina.engine.source_factory import EngineSources
    from lamina.exporters.contract import Receiver
    from lamina.exporters.destination import Output
    from lamina.layers.compression import Compression
    from lamina.llb.op import CDIDevice, Definition
    from lamina.ops.debugging import StepDebugger
    from lamina.ops.mounts import MountTable
    from lamina.policy.evaluator import PolicyEvaluator, Verifier
    from lamina.refs.manager import RefManager
    from lamina.refs.ref import Ref
    from lamina.refs.tree import Tree
    from lamina.runtime.cdi import ContainerEdits
    from lamina.runtime.contract import Runtime
    from lamina.session.contract import Session
    from lamina.solver.contract import Graph
    from lamina.solver.lookup import CacheLookup
    from lamina.sources.image import ImageResolver
    from lamina.sources.material import Material
    from lamina.stores.blobs import BlobStore
    from lamina.stores.cache_mounts import MountOrigin


class BuildOptions(NamedTuple):
    """Options of a build.

    `resolve` says where tags of base images are looked up. `allowed` are the entitlements that the
    user granted, `caches` the caches to read and write. `policies` and `verifier` decide which
    sources are allowed. `debugger` is told of commands that have ended. With `planned` nothing
    runs, and cache mounts do not change.
    """

    resolve: ResolveMode = ResolveMode.LOCAL
    allowed: frozenset[str] = frozenset()
    caches: BuildCacheOptions = BuildCacheOptions()
    policies: tuple[Policy, ...] = ()
    verifier: Verifier | None = None
    planned: bool = False
    debugger: StepDebugger | None = None


class LookupRecorder(Protocol):
    """Records what a build solves, and how the caches answered."""

    def look_up(self, lookup: CacheLookup) -> None: ...

    def define(self, definition: Definition) -> None: ...


class Build:
    """Solves definitions and exports the results. Made by `Engine.open_build`.

    Implements `OpRequester` (`lamina.engine.shared_session`), `RegistryRequester`
    (`lamina.engine.registries`) and `Requester` (`lamina.sources.contract`). Methods may be
    called from any thread.
    """

    def __init__(
        self,
        services: EngineServices,
        session: Session,
        options: BuildOptions,
        events: EventSink,
        cancel: Cancellation,
        recorder: LookupRecorder | None = None,
    ) -> None:
        self._services = services
        self._recorder = recorder
        self.platform = host_platform()
        self.session = session
        self.pins = BuildPins()
        self.options = options
        self.events = events
        self._request_cancel = cancel
        self.cancel = cancel = Cancellation(cancel)  # close() cancels the remaining requests too
        self.started = time.time()
        self._lock = threading.Lock()
        self._materials: dict[Material, None] = {}
        self._already_reset: set[str] = set()
        self._made: list[tuple[str, FrontendCall]] | None = []  # None after close()
        self.caches = BuildCaches(services.caches, session, options.caches, events, cancel)
        self.results = self.caches.results()
        self._times = StepTimes(events)
        self._packing = EarlyPacking(services.refs, self._times, cancel)
        lookups = None if recorder is None else recorder.look_up
        self.job = services.scheduler.open_job(self._packing, cancel, self.results, lookups)

    def as_requester(self) -> AbstractContextManager[None]:
        """Make registry requests for this build, in this thread and in the pools that it uses."""
        return on_behalf_of(lambda: (self,))

    @property
    def refs(self) -> RefManager:
        return self._services.refs

    @property
    def blobs(self) -> BlobStore:
        return self._services.store.blobs

    @property
    def scratch(self) -> str:
        """A directory for files that are removed when the process ends."""
        return self._services.store.scratch

    @property
    def sources(self) -> EngineSources:
        return self._services.sources

    @property
    def resolve_mode(self) -> ResolveMode:
        """Where images are looked up by default."""
        return self.options.resolve

    @property
    def workers(self) -> tuple[WorkerRecord, ...]:
        """The workers, as frontends see them."""
        return self._services.policy.workers

    def resolver(self, mode: ResolveMode) -> ImageResolver:
        """Resolves image names."""
        return self._services.resolver(mode)

    @property
    def debugger(self) -> StepDebugger | None:
        """What is told of commands that have ended, if anything."""
        return self.options.debugger

    @property
    def allowed(self) -> frozenset[str]:
        """The entitlements that the user granted."""
        return self.options.allowed

    def mount_table(self) -> MountTable:
        """Makes the mounts of a frontend's containers."""
        from lamina.ops.mounts import MountTable

        services = self._services
        return MountTable(
            services.refs, services.cache_mounts, self.session, services.tmpfs, self.restore
        )

    def runtime(self) -> Runtime:
        """The OCI runtime. Raises NotFound."""
        return self._services.runtime()

    def allow_frontend(self, name: str) -> None:
        """Raise PermissionDenied if the image `name` (without a tag) is not allowed as a
        frontend."""
        allowed = self._services.policy.frontends
        if allowed and name not in allowed:
            raise PermissionDenied(f"'{name}' is not an allowed gateway source")

    def run_frontend(
        self,
        name: str,
        attrs: Mapping[str, str],
        inputs: Mapping[str, Definition],
        parent: FrontendCall | None = None,
    ) -> BuildResult:
        """Run a frontend: convert attributes and inputs to a result. Raises the frontend's error.

        Args:
            parent: the call of the frontend that requests this one.
        """
        return self._services.frontends.run(self, name, attrs, inputs, parent)

    def import_caches(self, imports: Sequence[CacheImport | RefusedImport]) -> None:
        """Import further caches from now on."""
        self.caches.add(imports)

    def origins_of(self, inputs: Mapping[str, Definition]) -> Mapping[str, FrontendCall]:
        """The calls that made the definitions, by name, if they are known."""
        return self._services.definition_origins.of(inputs)

    def tree(self, files: Solvable) -> Tree:
        """The files of a result. Raises the error that stopped the build."""
        return self.refs.tree(files.ref(), self.cancel)

    @property
    def trusted(self) -> AbstractSet[str]:
        """Registries that may use plain HTTP or an unknown certificate, by domain."""
        return self.caches.trusted

    @property
    def packing(self) -> Compression | None:
        """See `lamina.ops.contract.Requesters`."""
        return self._packing.compression

    @property
    def repositories(self) -> AbstractSet[str]:
        """The repositories of its image sources, of the images that frontends read, of its caches,
        and of the caches that other builds found its shared steps in."""
        from lamina.sources.material import ImageMaterial

        nodes = list(self.job.nodes.values())
        sources = [material_of(node.op) for node in nodes]
        named = {m.name for m in (*sources, *self.noted) if isinstance(m, ImageMaterial)}
        for node in nodes:
            if node.found_in is not None and node.found_in is not self.results:
                for output in sorted(node.requested_outputs):
                    named.add(node.found_in.imported_from(node.key, output))
        found = set(self.caches.repositories)
        for name in named:
            with suppress(InvalidInput):  # a cache in a directory
                found.add(parse_reference(name).name)
        return found

    def devices(self, wanted: Sequence[CDIDevice]) -> list[ContainerEdits]:
        from lamina.engine.devices import granted_devices, read_grant

        grant = read_grant(self.options.allowed)
        granted = granted_devices(self._services.devices(), grant, wanted)
        return list(dict.fromkeys(edit for device in granted for edit in device.edits))

    def named_devices(self, wanted: Sequence[CDIDevice]) -> list[CDIDevice]:
        from lamina.engine.devices import named_devices, read_grant

        return named_devices(self._services.devices(), read_grant(self.options.allowed), wanted)

    def restore(self, name: str, folder: str, cancel: Cancellation) -> MountOrigin | None:
        return self.caches.restore(name, folder, cancel)

    @property
    def noted(self) -> list[Material]:
        """The materials that frontends read, in addition to those that their definitions name."""
        with self._lock:
            return list(self._materials)

    def note(self, material: Material) -> None:
        """Record a material that a frontend read, for provenance."""
        with self._lock:
            self._materials[material] = None

    def note_origin(self, definition: Definition | None, call: FrontendCall) -> None:
        """Record the call that made a definition, for provenance of calls that have it as an
        input."""
        with self._lock:
            if self._made is None:  # a frontend in a client that sends requests after the end
                return
            if key := self._services.definition_origins.add(definition, call):
                self._made.append((key, call))

    def policy_evaluator(self, further: Sequence[Policy] = ()) -> PolicyEvaluator | None:
        """Evaluates sources by the policies of the build and of the requesting frontend.

        None if there are none.
        """
        options = self.options
        if not (further or options.policies or options.verifier):
            return None
        from lamina.engine.frontends.source_meta import resolve_source_meta
        from lamina.policy.evaluator import PolicyEvaluator

        policies = [*options.policies, *further]
        look_up = partial(resolve_source_meta, self)
        return PolicyEvaluator(policies, options.verifier, look_up, self.cancel)

    def image_by_policy(
        self, reference: Reference, platform: Platform, further: Sequence[Policy] = ()
    ) -> Reference | None:
        """The image that policies allow for a name. None if they convert it to another kind of
        source."""
        evaluator = self.policy_evaluator(further)
        return reference if evaluator is None else evaluator.evaluate_image(reference, platform)

    def solvable(self, definition: Definition | None, policies: Sequence[Policy] = ()) -> Solvable:
        """Load a definition; nothing runs yet. None is an empty file system.

        `policies` are those of a frontend and apply in addition to the build's. Raises
        InvalidInput, Corrupt, PermissionDenied (entitlements, policies).
        """
        graph = None
        if definition is not None and definition.ops:
            evaluator = self.policy_evaluator(policies)
            evaluate = None if evaluator is None else evaluator.evaluate_all
            graph = load_graph(definition, self.options.allowed, self.devices, evaluate)
            if not self.options.planned:
                self._reset_cache_mounts(definition)
            if self._recorder is not None:
                self._recorder.define(definition)
        return Solvable(definition, graph, self._solve)

    def _reset_cache_mounts(self, definition: Definition) -> None:
        """Empty the cache mounts of steps that must run without the cache, once per build."""
        caches = caches_to_reset(definition)
        with self._lock:
            fresh = {
                name: above for name, above in caches.items() if name not in self._already_reset
            }
            self._already_reset.update(fresh)
        if not fresh:
            return
        mounts = self._services.cache_mounts
        for mount_id in mounts.names():
            base, _, state = mount_id.rpartition(":")
            if (fresh.get(base) is True and state.isdigit()) or fresh.get(mount_id) is False:
                mounts.detach(mount_id)

    def facts(self) -> BuildFacts:
        """The facts about the build for its provenance."""
        from lamina.engine.outputs.result_provenance import facts_of

        return facts_of(
            self.job,
            self.results,
            self.refs,
            started=self.started,
            environment=self._services.policy.provenance,
            noted=lambda: self.noted,
        )

    def finish(
        self,
        result: BuildResult,
        outputs: Sequence[Output],
        receiver: Receiver,
        attestations: WantedAttestations | None = None,
    ) -> Finished:
        """Solve the result, write every output, then export the caches.

        The result gets `attestations`, if it lacks them.
        """
        from lamina.engine.outputs.assembly import Made, MadePart

        provenance = None if attestations is None else attestations.provenance
        if attestations is not None and attestations.sbom is not None:
            from lamina.engine.outputs.result_sbom import with_sboms

            result = with_sboms(self, result, attestations.sbom)
        if provenance is not None:
            from lamina.engine.outputs.result_provenance import check_materials, with_provenance

            facts = self.facts()
            result = with_provenance(facts, result, provenance)
        graphs = [part.files.graph for part in result.parts if part.files.graph is not None]
        self._packing.begin(self.job, graphs, outputs)
        try:
            made = [
                MadePart(
                    part.platform,
                    self._files(part.files),
                    part.config,
                    part.base,
                    part.epoch,
                    self._attested(part),
                )
                for part in result.parts
            ]
        finally:
            self._packing.end()
        if provenance is not None:
            check_materials(facts, result, provenance)
        graph = self._solved(result)
        exports = self._exports(receiver, graph if self.caches.inline else None)
        exported = exports.run(outputs, Made(tuple(made), result.several, result.metadata))
        finished = Finished(exported, self.caches.export(graph))
        for part in result.parts:
            self.caches.export_mounts(part.files.definition)
        return finished

    def export_files(self, ref: Ref, outputs: Sequence[Output], receiver: Receiver) -> None:
        """Write files that are no result of the build to outputs."""
        from lamina.engine.outputs.assembly import Made, MadePart

        made = Made((MadePart(self.platform, ref),))
        self._exports(receiver, None).run(outputs, made)

    def _exports(self, receiver: Receiver, inline: SolvedGraph | None) -> Exports:
        from lamina.engine.outputs.exports import Exports

        services = self._services
        return Exports(
            services.refs,
            services.store,
            services.images,
            services.registry_of,
            receiver,
            inline,
            self.events,
            self.cancel,
        )

    def end(self) -> None:
        """Cancel the remaining requests of the build."""
        self.cancel.cancel("the build is over")

    def close(self, *, failed: bool, alone: bool) -> None:
        """Keep the results, and close the job. Called by the engine.

        `alone`: no other build is using it.
        """
        self.end()
        states = {
            result.snapshot
            for node in list(self.job.nodes.values())
            for result in (node.results or {}).values()
            if result.snapshot is not None
        }
        try:
            if not (self._request_cancel.cancelled and alone):
                self._services.refs.packer.pack_plans(states, Cancellation())
                self._services.snapshots.touch(sorted(self.results.served))
        except LaminaError:
            if not failed:
                raise
        finally:
            with self._lock:
                made, self._made = self._made or [], None
            self._services.definition_origins.drop(made)
            self._services.scheduler.close_job(self.job)
            self.caches.close()

    def _solve(self, graph: Graph, cancel: Cancellation | None = None) -> Ref:
        return self._services.scheduler.solve(self.job, graph, cancel)

    def _attested(self, part: PlatformResult) -> Attested | None:
        if not part.attestations:
            return None
        from lamina.attest.statements import Attested

        return Attested(part.attestations, lambda files: self.refs.tree(files.ref(), self.cancel))

    def _files(self, files: Solvable) -> Ref:
        # A client's directory can change: export its current contents.
        return self._services.refs.owned(files.ref(), self.cancel)

    def _solved(self, result: BuildResult) -> SolvedGraph:
        files = [part.files for part in result.parts if part.files.graph is not None]
        chain = []
        if self.caches.exported:
            graphs = [item.graph for item in files if item.graph is not None]
            chain = self._services.scheduler.chain(self.job, graphs, self.results)
        targets = [item.ref().snapshot for item in files]
        return SolvedGraph(chain, self.results, targets, self._times.by_snapshot(self.job))
