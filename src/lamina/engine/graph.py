"""Definitions to the solver's graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.digest import Digest, digest_of
from lamina.base.errors import InvalidInput, LaminaError, PermissionDenied
from lamina.base.events import ProgressGroup
from lamina.base.location import Location
from lamina.base.redact import redacted
from lamina.llb.codec import decode_op, encode_definition
from lamina.llb.op import DESCRIPTION_NAME, NO_INPUT, MountType, NetMode, OpMetadata, SecurityMode
from lamina.solver.contract import Graph, VertexSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.llb.op import (
        CDIDevice,
        Definition,
        ExecOp,
        Op,
        SourceInfo,
        SourceLocation,
    )


def load_graph(
    definition: Definition,
    allowed: frozenset[str],
    devices: Callable[[Sequence[CDIDevice]], object],
) -> Graph:
    """Check a definition and make it solvable.

    Args:
        allowed: entitlements that the user granted (`security.insecure`, `network.host`). What
            was allowed once is not allowed for good, so this comes before the cache is asked.
        devices: raises if a step cannot have the devices that it wants.

    Raises InvalidInput, Corrupt, PermissionDenied.
    """
    metadata = dict(definition.metadata)
    locations = _locations(definition)
    indexes: dict[str, int] = {}
    vertices: list[VertexSpec] = []
    if not definition.ops:
        raise InvalidInput("an empty definition")
    for data in definition.ops[:-1]:
        digest = digest_of(data)
        op = decode_op(data)
        extra = metadata.get(str(digest), OpMetadata())
        location = locations.get(str(digest))
        if op.exec is not None:
            _check_entitlements(op.exec, allowed, location)
            if op.exec.cdi_devices:
                try:
                    devices(op.exec.cdi_devices)
                except LaminaError as error:
                    raise error.at(location) from None
        group = extra.progress_group
        vertices.append(
            VertexSpec(
                digest=digest,
                name=dict(extra.description).get(DESCRIPTION_NAME) or _name(op),
                inputs=_inputs(op, indexes),
                data=data,
                ignore_cache=extra.ignore_cache,
                location=location,
                group=ProgressGroup(*group) if group is not None else None,
                extra=extra.linux_resources,
            )
        )
        indexes[str(digest)] = len(vertices) - 1
    target = _inputs(decode_op(definition.ops[-1]), indexes)
    if len(target) != 1:
        raise InvalidInput("a definition must end in one result")
    return Graph(tuple(vertices), target[0])


def renounced_caches(definition: Definition) -> dict[str, bool]:
    """The cache mounts, by name, of steps that are to run without the cache; True for those that
    lie on top of a state."""
    renounced = {digest for digest, extra in definition.metadata if extra.ignore_cache}
    if not renounced:
        return {}
    found = {}
    for data in definition.ops:
        op = decode_op(data).exec if str(digest_of(data)) in renounced else None
        for mount in op.mounts if op is not None else ():
            if mount.mount_type is MountType.CACHE and mount.cache is not None:
                found[mount.cache.id or mount.dest] = mount.input != NO_INPUT
    return found


def _check_entitlements(op: ExecOp, allowed: frozenset[str], location: Location | None) -> None:
    for needed, entitlement in (
        (op.security is SecurityMode.INSECURE, "security.insecure"),
        (op.network is NetMode.HOST, "network.host"),
    ):
        if needed and entitlement not in allowed:
            raise PermissionDenied(
                f"{entitlement} is not allowed",
                hint=f"allow it: --allow {entitlement}",
                location=location,
            )


def _inputs(op: Op, indexes: dict[str, int]) -> tuple[tuple[int, int], ...]:
    found = []
    for entry in op.inputs:
        if entry.digest not in indexes:
            raise InvalidInput(f"a definition refers to {entry.digest}, which is not before it")
        found.append((indexes[entry.digest], entry.output))
    return tuple(found)


def _locations(definition: Definition) -> dict[str, Location]:
    if definition.source is None:
        return {}
    found: dict[str, Location] = {}
    for digest, entry in definition.source.locations:
        places = [_place(place, definition.source.infos) for place in entry.locations]
        known = [place for place in places if place is not None]
        if known:
            found[digest] = known[0]._replace(others=tuple(known[1:]))
    return found


def _place(place: SourceLocation, infos: Sequence[SourceInfo]) -> Location | None:
    if not 0 <= place.source_index < len(infos) or not place.ranges:
        return None
    info = infos[place.source_index]
    first, last = place.ranges[0].start, place.ranges[-1].end or place.ranges[-1].start
    if first is None or last is None:
        return None
    text = info.data.decode("utf-8", "surrogateescape")
    origin = encode_definition(info.definition) if info.definition else b""
    return Location(
        info.filename, first.line, last.line, text, origin, info.language, first.character
    )


def _name(op: Op) -> str:
    if op.source is not None:
        return redacted(op.source.identifier)
    if op.exec is not None and op.exec.meta is not None:
        return " ".join(op.exec.meta.args)
    for kind in ("file", "merge", "diff", "build"):
        if getattr(op, kind) is not None:
            return kind
    return "op"


def internal_digest(name: str) -> Digest:
    """The identity of a step that is shown but is no op (loading the Dockerfile, exporting)."""
    import os

    return digest_of(name.encode() + os.urandom(16))
