"""The ports of ops: the services of the engine, and the part of a build that ops use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lamina.base.named_tuple import NamedTuple
from lamina.sources.contract import Requester

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.base.platform import Platform
    from lamina.layers.compression import Compression
    from lamina.llb.op import CDIDevice, Definition
    from lamina.ops.debugging import StepDebugger
    from lamina.ops.mounts import Restore
    from lamina.refs.manager import RefManager
    from lamina.refs.ref import Ref
    from lamina.runtime.cdi import ContainerEdits
    from lamina.runtime.contract import Runtime
    from lamina.session.contract import Session
    from lamina.sources.contract import Source
    from lamina.sources.image import ImageResolver, ResolveMode
    from lamina.stores.cache_mounts import CacheMountStore


class SourceFactory(Protocol):
    """Makes the sources that need more of the engine than a `RefManager`."""

    def layout(
        self, location: str, attrs: dict[str, str], platform: Platform, session: Session
    ) -> Source: ...

    def blob(self, scheme: str, place: str, attrs: dict[str, str], session: Session) -> Source: ...

    def http(self, url: str, attrs: dict[str, str], requester: Requester) -> Source: ...

    def git(self, place: str, attrs: dict[str, str], requester: Requester) -> Source: ...


class OpServices(NamedTuple):
    """The stores and services that ops use. An engine has one.

    `platform` is the default of ops that name none. `contexts` is the directory of the stat caches
    of clients' directories, `tmpfs` a directory in memory, for secrets.
    """

    refs: RefManager
    cache_mounts: CacheMountStore
    resolver: Callable[[ResolveMode], ImageResolver]
    runtime: Callable[[], Runtime]
    sources: SourceFactory
    platform: Platform
    contexts: str
    tmpfs: str


class DeviceProvider(Protocol):
    """Gives steps the devices that their build allows. Raises NotFound, PermissionDenied."""

    def devices(self, wanted: Sequence[CDIDevice]) -> Sequence[ContainerEdits]:
        """The changes to a container's configuration that add the requested devices."""
        ...

    def named_devices(self, wanted: Sequence[CDIDevice]) -> Sequence[CDIDevice]:
        """The requested devices by their full names, for the cache key of the step."""
        ...


class Requesters(Requester, DeviceProvider, Protocol):
    """The builds that wait for a vertex. A call is served by any of them."""

    @property
    def restore(self) -> Restore: ...

    @property
    def packing(self) -> Compression | None:
        """The compression of results' layers; None if an output needs the files of results."""
        ...

    @property
    def debugger(self) -> StepDebugger | None:
        """What is told of commands that have ended, if anything."""
        ...

    def solve(self, definition: Definition) -> Ref:
        """Solve a definition as part of these builds."""
        ...
