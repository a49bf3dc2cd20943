"""Decodes the ops of vertices and makes them executable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.digest import parse_digest
from lamina.base.errors import InvalidInput, Unsupported
from lamina.base.reference import parse_reference
from lamina.llb.codec import decode_op
from lamina.llb.op import LinuxResources
from lamina.llb.platform import op_platform
from lamina.ops.mounts import MountTable
from lamina.sources.image import ResolveMode

if TYPE_CHECKING:
    from lamina.llb.op import LLBPlatform
    from lamina.ops.contract import OpServices, Requesters
    from lamina.refs.ref import Ref
    from lamina.solver.contract import Op, VertexSpec
    from lamina.sources.contract import Requester, Source

CHECKSUM = "image.checksum"
LAYER_LIMIT = "image.layerlimit"
RESOLVE_MODE = "image.resolvemode"


def resolve_op(spec: VertexSpec, services: OpServices, requesters: Requesters) -> Op[Ref]:
    """Make a vertex executable. Raises InvalidInput and Unsupported."""
    op = decode_op(spec.data)
    inputs = len(op.inputs)
    refs, session = services.refs, requesters.session
    if op.source is not None:
        from lamina.ops.source import SourceOperation

        attrs = dict(op.source.attrs)
        source = _source(op.source.identifier, attrs, op.platform, services, requesters)
        return SourceOperation(source)
    if op.exec is not None:
        from lamina.ops.exec import ExecOperation

        return ExecOperation(
            op.exec,
            op.platform,
            inputs,
            spec.name,
            refs=refs,
            mounts=MountTable(
                refs, services.cache_mounts, session, services.tmpfs, requesters.restore
            ),
            runtime=services.runtime,
            session=session,
            resources=spec.extra if isinstance(spec.extra, LinuxResources) else None,
            devices=requesters,
            debugger=lambda: requesters.debugger,
        )
    if op.file is not None:
        from lamina.ops.file import FileOperation

        return FileOperation(op.file, inputs, spec.name, refs, lambda: requesters.packing)
    if op.merge is not None:
        from lamina.ops.merge import MergeOperation

        return MergeOperation(op.merge, inputs, refs)
    if op.diff is not None:
        from lamina.ops.merge import DiffOperation

        return DiffOperation(op.diff, inputs, spec.name, refs)
    if op.build is not None:
        from lamina.ops.build import BuildOperation

        return BuildOperation(op.build, inputs, refs, requesters.solve)
    if op.passthrough is not None:
        from lamina.ops.passthrough import PassthroughOperation

        return PassthroughOperation(op.passthrough, inputs)
    raise Unsupported(f"{spec.name}: an op of a kind that lamina does not run yet")


def _source(
    identifier: str,
    attrs: dict[str, str],
    platform: LLBPlatform | None,
    services: OpServices,
    requester: Requester,
) -> Source:
    scheme, colon, rest = identifier.partition("://")
    if not colon:
        raise InvalidInput(f'"{identifier}" is not a source')
    wanted = op_platform(platform, services.platform)
    match scheme:
        case "local":
            from lamina.sources.local import LocalSource

            return LocalSource(rest, attrs, requester.session, services.contexts)
        case "docker-image":
            from lamina.sources.image import ImageSource

            resolver = services.resolver(ResolveMode.parse(attrs.get(RESOLVE_MODE, "")))
            return ImageSource(
                parse_reference(rest),
                wanted,
                resolver,
                services.refs,
                attrs.get(LAYER_LIMIT, ""),
                parse_digest(checksum) if (checksum := attrs.get(CHECKSUM)) else None,
            )
        case "oci-layout":
            return services.sources.layout(rest, attrs, wanted, requester.session)
        case "docker-image+blob" | "oci-layout+blob":
            return services.sources.blob(scheme, rest, attrs, requester.session)
        case "http" | "https":
            return services.sources.http(identifier, attrs, requester)
        case "git":
            return services.sources.git(rest, attrs, requester)
        case _:
            raise Unsupported(f'sources of kind "{scheme}" are not supported yet')
