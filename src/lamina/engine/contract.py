"""The configuration of an engine, and the services that it provides to builds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lamina.api.worker import WorkerRecord
    from lamina.attest.definition_origins import DefinitionOrigins
    from lamina.engine.caching.build_caches import CacheServices
    from lamina.engine.frontends.table import Frontends
    from lamina.engine.registries import LoginsOf, RegistryFinder
    from lamina.engine.shared_session import SessionFinder
    from lamina.engine.source_factory import EngineSources
    from lamina.refs.manager import RefManager
    from lamina.refs.ref import Ref
    from lamina.runtime.cdi import DeviceRegistry
    from lamina.runtime.contract import Runtime, RuntimeSettings
    from lamina.solver.scheduler import Scheduler
    from lamina.sources.image import ImageResolver, ResolveMode
    from lamina.stores.cache_mounts import CacheMountStore
    from lamina.stores.images import ImageTable
    from lamina.stores.snapshots import SnapshotStore
    from lamina.stores.store import Store


class EnginePolicy(NamedTuple):
    """The configuration of an engine.

    `workers` describe it to frontends. `frontends` are the only images that may be frontends;
    empty: all may. `runtime` has the settings for all steps. `find_session` finds sessions of
    clients that builds name. `logins` finds the credentials of a session's client; None: all
    clients use those in the files of this machine. `provenance` is JSON that is part of all
    provenance records of this builder. `devices` are those of the machine; None: those in the CDI
    files. `transfers` limits the concurrent blob transfers per registry, 0 for no limit.
    """

    workers: tuple[WorkerRecord, ...] = ()
    frontends: tuple[str, ...] = ()
    runtime: RuntimeSettings | None = None
    find_session: SessionFinder | None = None
    logins: LoginsOf | None = None
    provenance: Mapping[str, Any] = {}
    devices: DeviceRegistry | None = None
    transfers: int = 0


class EngineServices(NamedTuple):
    """The parts of an engine that its builds use. All of them are thread-safe.

    `registry_of` returns the client for one registry. `runtime` finds crun or runc when it is first
    needed. `devices` are those of the machine. `tmpfs` is a directory in memory, for secrets.
    """

    policy: EnginePolicy
    store: Store
    snapshots: SnapshotStore
    images: ImageTable
    cache_mounts: CacheMountStore
    refs: RefManager
    sources: EngineSources
    scheduler: Scheduler[Ref]
    frontends: Frontends
    definition_origins: DefinitionOrigins
    caches: CacheServices
    resolver: Callable[[ResolveMode], ImageResolver]
    registry_of: RegistryFinder
    runtime: Callable[[], Runtime]
    devices: Callable[[], DeviceRegistry]
    tmpfs: str
