"""From a vertex's bytes to something that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from lamina.base.digest import parse_digest
from lamina.base.errors import InvalidInput, Unsupported
from lamina.base.platform import Platform, normalise
from lamina.base.reference import parse_reference
from lamina.llb.codec import decode_op
from lamina.llb.op import LinuxResources
from lamina.ops.mounts import MountTable
from lamina.sources.contract import Asking
from lamina.sources.image import ResolveMode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.layers.compression import Compression
    from lamina.llb.op import CDIDevice, Definition, LLBPlatform
    from lamina.ops.mounts import Restore
    from lamina.refs.pool import RefPool
    from lamina.refs.ref import Ref
    from lamina.runtime.cdi import ContainerEdits
    from lamina.runtime.contract import Runtime
    from lamina.session.contract import Session
    from lamina.solver.contract import Op, VertexSpec
    from lamina.sources.contract import Source
    from lamina.sources.image import ImageResolver
    from lamina.stores.cache_mounts import CacheMountStore

CHECKSUM = "image.checksum"
LAYER_LIMIT = "image.layerlimit"
RESOLVE_MODE = "image.resolvemode"


class SourceFactory(Protocol):
    """Makes sources that need more of the engine than a pool."""

    def layout(
        self, location: str, attrs: dict[str, str], platform: Platform, session: Session
    ) -> Source: ...

    def blob(self, scheme: str, place: str, attrs: dict[str, str], session: Session) -> Source: ...

    def http(self, url: str, attrs: dict[str, str], asking: Asking) -> Source: ...

    def git(self, place: str, attrs: dict[str, str], asking: Asking) -> Source: ...


class Workshop(NamedTuple):
    """What ops work with: one for each engine.

    `platform` is that of ops which name none; `contexts` a folder for the digests of lent files;
    `tmpfs` one for secrets.
    """

    pool: RefPool
    cache_mounts: CacheMountStore
    resolver: Callable[[ResolveMode], ImageResolver]
    runtime: Callable[[], Runtime]
    sources: SourceFactory
    platform: Platform
    contexts: str
    tmpfs: str


class DeviceLender(Protocol):
    """Who may have which devices. Raises NotFound, PermissionDenied."""

    def devices(self, wanted: Sequence[CDIDevice]) -> Sequence[ContainerEdits]:
        """What makes devices present that a step wants."""
        ...

    def named_devices(self, wanted: Sequence[CDIDevice]) -> Sequence[CDIDevice]:
        """The same devices by names of their own, which a step is remembered by."""
        ...


class Waiting(Asking, DeviceLender, Protocol):
    """Who waits for a vertex: what ops borrow from them."""

    @property
    def restore(self) -> Restore: ...

    @property
    def packing(self) -> Compression | None:
        """How layers of results are to be packed; None if files of results are wanted."""
        ...

    def solve(self, definition: Definition) -> Ref:
        """Make a definition's result for them."""
        ...


def resolve_op(spec: VertexSpec, workshop: Workshop, waiting: Waiting) -> Op[Ref]:
    """Make a vertex executable.

    Raises InvalidInput and Unsupported.
    """
    op = decode_op(spec.data)
    inputs = len(op.inputs)
    pool, session = workshop.pool, waiting.session
    if op.source is not None:
        from lamina.ops.source import SourceOperation

        attrs = dict(op.source.attrs)
        source = _source(op.source.identifier, attrs, op.platform, workshop, waiting)
        return SourceOperation(source)
    if op.exec is not None:
        from lamina.ops.exec import ExecOperation

        return ExecOperation(
            op.exec,
            op.platform,
            inputs,
            pool=pool,
            mounts=MountTable(
                pool, workshop.cache_mounts, session, workshop.tmpfs, waiting.restore
            ),
            runtime=workshop.runtime,
            session=session,
            resources=spec.extra if isinstance(spec.extra, LinuxResources) else None,
            devices=waiting,
        )
    if op.file is not None:
        from lamina.ops.file import FileOperation

        return FileOperation(op.file, inputs, spec.name, pool, lambda: waiting.packing)
    if op.merge is not None:
        from lamina.ops.merge import MergeOperation

        return MergeOperation(op.merge, inputs, pool)
    if op.diff is not None:
        from lamina.ops.merge import DiffOperation

        return DiffOperation(op.diff, inputs, spec.name, pool)
    if op.build is not None:
        from lamina.ops.build import BuildOperation

        return BuildOperation(op.build, inputs, pool, waiting.solve)
    if op.passthrough is not None:
        from lamina.ops.passthrough import PassthroughOperation

        return PassthroughOperation(op.passthrough, inputs)
    raise Unsupported(f"{spec.name}: an op of a kind that lamina does not run yet")


def source_platform(platform: LLBPlatform | None, default: Platform) -> Platform:
    """The platform that a source op asks for."""
    if platform is None:
        return default
    return normalise(
        Platform(
            platform.os,
            platform.architecture,
            platform.variant,
            platform.os_version,
            platform.os_features,
        )
    )


def _source(
    identifier: str,
    attrs: dict[str, str],
    platform: LLBPlatform | None,
    workshop: Workshop,
    asking: Asking,
) -> Source:
    scheme, colon, rest = identifier.partition("://")
    if not colon:
        raise InvalidInput(f'"{identifier}" is not a source')
    wanted = source_platform(platform, workshop.platform)
    match scheme:
        case "local":
            from lamina.sources.local import LocalSource

            return LocalSource(rest, attrs, asking.session, workshop.contexts)
        case "docker-image":
            from lamina.sources.image import ImageSource

            resolver = workshop.resolver(ResolveMode.parse(attrs.get(RESOLVE_MODE, "")))
            return ImageSource(
                parse_reference(rest),
                wanted,
                resolver,
                workshop.pool,
                attrs.get(LAYER_LIMIT, ""),
                parse_digest(checksum) if (checksum := attrs.get(CHECKSUM)) else None,
            )
        case "oci-layout":
            return workshop.sources.layout(rest, attrs, wanted, asking.session)
        case "docker-image+blob" | "oci-layout+blob":
            return workshop.sources.blob(scheme, rest, attrs, asking.session)
        case "http" | "https":
            return workshop.sources.http(identifier, attrs, asking)
        case "git":
            return workshop.sources.git(rest, attrs, asking)
        case _:
            raise Unsupported(f'sources of kind "{scheme}" are not supported yet')
