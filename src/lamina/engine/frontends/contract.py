"""The port of frontends, and the interface of a build that they use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lamina.sources.contract import Requester

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from lamina.api.sourcepolicy import Policy
    from lamina.api.worker import WorkerRecord
    from lamina.attest.contract import FrontendCall
    from lamina.base.events import EventSink
    from lamina.base.platform import Platform
    from lamina.base.reference import Reference
    from lamina.cacheio.options import CacheImport, RefusedImport
    from lamina.engine.build_result import BuildResult, Solvable
    from lamina.engine.source_factory import EngineSources
    from lamina.llb.op import Definition
    from lamina.ops.mounts import MountTable
    from lamina.policy.evaluator import PolicyEvaluator
    from lamina.refs.manager import RefManager
    from lamina.refs.tree import Tree
    from lamina.runtime.contract import Runtime
    from lamina.sources.image import ImageResolver, ResolveMode
    from lamina.sources.material import Material
    from lamina.system.cancel import Cancellation


class SourceContext(Requester, Protocol):
    """The part of a build that reads sources."""

    @property
    def platform(self) -> Platform: ...

    @property
    def events(self) -> EventSink: ...

    @property
    def cancel(self) -> Cancellation: ...

    @property
    def sources(self) -> EngineSources: ...

    def resolver(self, mode: ResolveMode, /) -> ImageResolver:
        """Resolves image names."""
        ...

    def image_by_policy(
        self, reference: Reference, platform: Platform, further: Sequence[Policy] = (), /
    ) -> Reference | None:
        """The image that policies allow for a name. None if they convert it to another kind of
        source."""
        ...

    def solvable(
        self, definition: Definition | None, policies: Sequence[Policy] = (), /
    ) -> Solvable:
        """Load a definition; nothing runs yet. None is an empty file system."""
        ...

    def tree(self, files: Solvable, /) -> Tree:
        """The files of a result. Raises the error that stopped the build."""
        ...

    def note(self, material: Material, /) -> None:
        """Record a material that a frontend read, for provenance."""
        ...


class FrontendBuild(SourceContext, Protocol):
    """The part of a build that frontends use."""

    @property
    def resolve_mode(self) -> ResolveMode:
        """Where images are looked up by default."""
        ...

    @property
    def workers(self) -> tuple[WorkerRecord, ...]:
        """The workers, as frontends see them."""
        ...

    @property
    def scratch(self) -> str:
        """A directory for files that are removed when the process ends."""
        ...

    @property
    def refs(self) -> RefManager: ...

    @property
    def allowed(self) -> frozenset[str]:
        """The entitlements that the user granted."""
        ...

    def mount_table(self) -> MountTable:
        """Makes the mounts of containers."""
        ...

    def runtime(self) -> Runtime:
        """The OCI runtime. Raises NotFound."""
        ...

    def run_frontend(
        self,
        name: str,
        attrs: Mapping[str, str],
        inputs: Mapping[str, Definition],
        parent: FrontendCall | None = None,
        /,
    ) -> BuildResult:
        """Run another frontend: convert attributes and inputs to a result."""
        ...

    def allow_frontend(self, name: str, /) -> None:
        """Raise PermissionDenied if the image `name` (without a tag) is not allowed as a
        frontend."""
        ...

    def import_caches(self, imports: Sequence[CacheImport | RefusedImport], /) -> None:
        """Import further caches from now on."""
        ...

    def policy_evaluator(self, further: Sequence[Policy] = (), /) -> PolicyEvaluator | None: ...

    def origins_of(self, inputs: Mapping[str, Definition], /) -> Mapping[str, FrontendCall]:
        """The calls that made the definitions, by name, if they are known."""
        ...

    def note_origin(self, definition: Definition | None, call: FrontendCall, /) -> None:
        """Record the call that made a definition."""
        ...

    def as_requester(self) -> AbstractContextManager[None]:
        """Make registry requests for this build during the block."""
        ...

    def end(self) -> None:
        """Cancel the remaining requests of the build."""
        ...


class Frontend(Protocol):
    """Converts a call and its input definitions to a result."""

    def __call__(
        self, build: FrontendBuild, call: FrontendCall, inputs: Mapping[str, Definition], /
    ) -> BuildResult:
        """Raises the error that stopped the frontend or the build."""
        ...
