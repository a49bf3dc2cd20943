"""The port of frontends, and what they may ask of the build that they run for."""

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
    from lamina.policy.evaluator import PolicyEvaluator
    from lamina.refs.manager import RefManager
    from lamina.refs.tree import Tree
    from lamina.runtime.contract import Runtime
    from lamina.sources.image import ImageResolver, ResolveMode
    from lamina.sources.material import Material
    from lamina.system.cancel import Cancellation


class SourceContext(Requester, Protocol):
    """A build, for looking at sources."""

    @property
    def platform(self) -> Platform: ...

    @property
    def events(self) -> EventSink: ...

    @property
    def cancel(self) -> Cancellation: ...

    @property
    def sources(self) -> EngineSources: ...

    def resolver(self, mode: ResolveMode, /) -> ImageResolver:
        """Finds images by name."""
        ...

    def image_by_policy(
        self, reference: Reference, platform: Platform, further: Sequence[Policy] = (), /
    ) -> Reference | None:
        """The image that policies allow for a name; None if they convert it to another source."""
        ...

    def solvable(
        self, definition: Definition | None, policies: Sequence[Policy] = (), /
    ) -> Solvable:
        """Take a definition without making anything yet. None is an empty file system."""
        ...

    def tree(self, files: Solvable, /) -> Tree:
        """The files of a result. Raises what stopped it."""
        ...

    def note(self, material: Material, /) -> None:
        """Remember something that a frontend looked at, for provenance."""
        ...


class FrontendBuild(SourceContext, Protocol):
    """A build, for the frontends that run for it."""

    @property
    def resolve_mode(self) -> ResolveMode:
        """Where images are looked up if a frontend does not say."""
        ...

    @property
    def workers(self) -> tuple[WorkerRecord, ...]:
        """The workers that build, for frontends that ask."""
        ...

    @property
    def scratch(self) -> str:
        """A folder for files that end with the process."""
        ...

    @property
    def refs(self) -> RefManager: ...

    def runtime(self) -> Runtime:
        """Raises NotFound."""
        ...

    def run_frontend(
        self,
        name: str,
        attrs: Mapping[str, str],
        inputs: Mapping[str, Definition],
        parent: FrontendCall | None = None,
        /,
    ) -> BuildResult:
        """Have another frontend turn attributes and inputs into a result."""
        ...

    def allow_frontend(self, name: str, /) -> None:
        """Raise PermissionDenied if an image may not be a frontend; `name` has no tag."""
        ...

    def import_caches(self, imports: Sequence[CacheImport | RefusedImport], /) -> None:
        """Read further caches from now on."""
        ...

    def policy_evaluator(self, further: Sequence[Policy] = (), /) -> PolicyEvaluator | None: ...

    def origins_of(self, inputs: Mapping[str, Definition], /) -> Mapping[str, FrontendCall]:
        """The calls that made definitions, by name, where they are known."""
        ...

    def note_origin(self, definition: Definition | None, call: FrontendCall, /) -> None:
        """Remember the call that made a definition."""
        ...

    def as_requester(self) -> AbstractContextManager[None]:
        """Make registry requests for this build during the block."""
        ...

    def end(self) -> None:
        """End what is still asked of the build."""
        ...


class Frontend(Protocol):
    """Turns a call, and the definitions that it is given as inputs, into a result."""

    def __call__(
        self, build: FrontendBuild, call: FrontendCall, inputs: Mapping[str, Definition], /
    ) -> BuildResult:
        """Raises what stopped it."""
        ...
