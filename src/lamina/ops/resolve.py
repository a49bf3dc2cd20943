"""From a vertex's bytes to something that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lamina.base.errors import InvalidInput, Unsupported
from lamina.base.platform import Platform, normalise
from lamina.base.reference import parse_reference
from lamina.llb.codec import decode_op

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.llb.op import LLBPlatform
    from lamina.ops.mounts import MountTable
    from lamina.refs.pool import RefPool
    from lamina.refs.ref import Ref
    from lamina.runtime.contract import Runtime
    from lamina.session.contract import Session
    from lamina.solver.contract import Op, VertexSpec
    from lamina.sources.contract import Source
    from lamina.sources.image import ImageResolver


class Workshop(NamedTuple):
    """What ops work with: one for each build."""

    pool: RefPool
    mounts: MountTable
    session: Session
    images: ImageResolver
    runtime: Callable[[], Runtime]
    platform: Platform
    allowed: frozenset[str]
    context_caches: str
    layout_source: Callable[[str, Platform], Source]
    http_source: Callable[[str, dict[str, str]], Source]
    git_source: Callable[[str, dict[str, str]], Source]


def resolve_op(spec: VertexSpec, workshop: Workshop) -> Op[Ref]:
    """Raises InvalidInput and Unsupported."""
    op = decode_op(spec.data)
    inputs = len(op.inputs)
    if op.source is not None:
        from lamina.ops.source import SourceOperation

        attrs = dict(op.source.attrs)
        return SourceOperation(_source(op.source.identifier, attrs, op.platform, workshop))
    if op.exec is not None:
        from lamina.ops.exec import ExecOperation

        return ExecOperation(
            op.exec,
            op.platform,
            inputs,
            spec.name,
            pool=workshop.pool,
            mounts=workshop.mounts,
            runtime=workshop.runtime,
            session=workshop.session,
            allowed=workshop.allowed,
            resources=None,
        )
    if op.file is not None:
        from lamina.ops.file import FileOperation

        return FileOperation(op.file, inputs, spec.name, workshop.pool)
    if op.merge is not None:
        from lamina.ops.merge import MergeOperation

        return MergeOperation(op.merge, inputs, spec.name, workshop.pool)
    if op.diff is not None:
        from lamina.ops.merge import DiffOperation

        return DiffOperation(op.diff, inputs, spec.name, workshop.pool)
    raise Unsupported(f"{spec.name}: an op of a kind that lamina does not run yet")


def _source(
    identifier: str, attrs: dict[str, str], platform: LLBPlatform | None, workshop: Workshop
) -> Source:
    scheme, colon, rest = identifier.partition("://")
    if not colon:
        raise InvalidInput(f'"{identifier}" is not a source')
    wanted = workshop.platform
    if platform is not None:
        wanted = normalise(Platform(platform.os, platform.architecture, platform.variant))
    match scheme:
        case "local":
            from lamina.sources.local import LocalSource

            return LocalSource(rest, attrs, workshop.session, workshop.context_caches)
        case "docker-image":
            from lamina.sources.image import ImageSource

            return ImageSource(parse_reference(rest), wanted, workshop.images, workshop.pool)
        case "oci-layout":
            return workshop.layout_source(rest, wanted)
        case "http" | "https":
            return workshop.http_source(identifier, attrs)
        case "git":
            return workshop.git_source(rest, attrs)
        case _:
            raise Unsupported(f'sources of kind "{scheme}" are not supported yet')
