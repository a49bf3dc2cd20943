"""Converts definitions to the solver's graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.digest import Digest, digest_of
from lamina.base.errors import InvalidInput, LaminaError, PermissionDenied, Unsupported
from lamina.base.events import ProgressGroup
from lamina.base.location import Location
from lamina.base.redact import redacted
from lamina.engine.frontends.capabilities import LLB
from lamina.llb.check import check_op
from lamina.llb.codec import decode_op, encode_definition, encode_op
from lamina.llb.names import op_name
from lamina.llb.op import DESCRIPTION_NAME, NO_INPUT, MountType, NetMode, OpMetadata, SecurityMode
from lamina.solver.contract import Graph, VertexSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from lamina.llb.op import (
        CDIDevice,
        Definition,
        ExecOp,
        Input,
        Op,
        SourceInfo,
        SourceLocation,
    )


def load_graph(
    definition: Definition,
    allowed: frozenset[str],
    devices: Callable[[Sequence[CDIDevice]], object],
    evaluate: Callable[[Mapping[str, Op]], Mapping[str, Op]] | None = None,
) -> Graph:
    """Check a definition and convert it to a graph.

    Args:
        allowed: entitlements that the user granted (`security.insecure`, `network.host`). They
            are checked for each build, before the cache is read.
        devices: raises an error if a step requests devices that it cannot get.
        evaluate: the sources that policies convert, by their digests in the definition. Ops that
            depend on a converted source get new digests, because their results differ from
            those without policies.

    Raises InvalidInput, Corrupt, PermissionDenied, Unsupported (capabilities).
    """
    if not definition.ops:
        raise InvalidInput("an empty definition")
    encoded = {str(digest_of(data)): data for data in definition.ops[:-1]}
    target = _target(decode_op(definition.ops[-1]))
    ops = _needed(encoded, target.digest)
    metadata = dict(definition.metadata)
    locations = _locations(definition, ops.keys())
    indexes: dict[str, int] = {}
    vertices: list[VertexSpec] = []
    changed = {} if evaluate is None else evaluate({d: op for d, op in ops.items() if op.source})
    renamed: dict[str, str] = {}
    for digest in _in_order(encoded, ops):
        op = ops[digest]
        extra = metadata.get(digest, OpMetadata())
        location = locations.get(digest)
        try:
            check_op(op)
            _check_caps(extra)
            data = encoded[digest]
            op = _renamed(changed.get(digest, op), renamed)
            if op != ops[digest]:
                data = encode_op(op)
                renamed[digest] = str(digest_of(data))
            if op.exec is not None:
                _check_entitlements(op.exec, allowed)
                if op.exec.cdi_devices:
                    devices(op.exec.cdi_devices)
        except LaminaError as error:
            raise error.at(location) from None
        group = extra.progress_group
        inputs = tuple((indexes[e.digest], e.output) for e in ops[digest].inputs)
        indexes[digest] = len(vertices)
        vertices.append(
            VertexSpec(
                digest=Digest(renamed.get(digest, digest)),
                name=redacted(
                    dict(extra.description).get(DESCRIPTION_NAME)
                    or op_name(op, [vertices[index].name for index, _ in inputs])
                ),
                inputs=inputs,
                data=data,
                ignore_cache=extra.ignore_cache,
                location=location,
                group=ProgressGroup(*group) if group is not None else None,
                extra=extra.linux_resources,
            )
        )
    return Graph(tuple(vertices), (indexes[target.digest], target.output))


def _renamed(op: Op, renamed: Mapping[str, str]) -> Op:
    if not any(entry.digest in renamed for entry in op.inputs):
        return op
    inputs = (e._replace(digest=renamed.get(e.digest, e.digest)) for e in op.inputs)
    return op._replace(inputs=tuple(inputs))


def _target(last: Op) -> Input:
    """The output that a definition's last op names as the result."""
    if any(kind is not None for kind in last[1:8]) or len(last.inputs) != 1:
        raise InvalidInput("a definition must end in one result")
    target = last.inputs[0]
    if target.output < 0:
        raise InvalidInput(f"a definition's result has the output index {target.output}")
    return target


def _needed(encoded: Mapping[str, bytes], target: str) -> dict[str, Op]:
    """The ops that the target depends on. Other ops of the definition are ignored."""
    found: dict[str, Op] = {}
    wanted = [target]
    while wanted:
        digest = wanted.pop()
        if digest in found:
            continue
        if digest not in encoded:
            raise InvalidInput(f"a definition refers to {digest}, which is not in it")
        found[digest] = op = decode_op(encoded[digest])
        wanted.extend(entry.digest for entry in op.inputs)
    return found


def _in_order(encoded: Iterable[str], ops: Mapping[str, Op]) -> list[str]:
    """The ops in topological order (inputs first): the listed order if it is one.

    There are no cycles, as an op would have to contain its own digest.
    """
    placed: dict[str, None] = {}
    for first in encoded:
        if first not in ops or first in placed:
            continue
        # An explicit stack: graphs can be deeper than Python's recursion limit.
        stack = [(first, iter(ops[first].inputs))]
        while stack:
            digest, inputs = stack[-1]
            below = next((e.digest for e in inputs if e.digest not in placed), None)
            if below is not None:
                stack.append((below, iter(ops[below].inputs)))
                continue
            placed[digest] = None
            stack.pop()
    return list(placed)


def caches_to_reset(definition: Definition) -> dict[str, bool]:
    """The cache mounts, by name, of steps that must run without the cache.

    The value is True for mounts with an initial snapshot.
    """
    ignored = {digest for digest, extra in definition.metadata if extra.ignore_cache}
    if not ignored:
        return {}
    found = {}
    for data in definition.ops:
        op = decode_op(data).exec if str(digest_of(data)) in ignored else None
        for mount in op.mounts if op is not None else ():
            if mount.mount_type is MountType.CACHE and mount.cache is not None:
                found[mount.cache.id or mount.dest] = mount.input != NO_INPUT
    return found


def _check_caps(extra: OpMetadata) -> None:
    for name, needed in extra.caps:
        if needed and name not in LLB:
            raise Unsupported(f"unknown API capability {name}", hint="the client requires it")


def _check_entitlements(op: ExecOp, allowed: frozenset[str]) -> None:
    for needed, entitlement in (
        (op.security is SecurityMode.INSECURE, "security.insecure"),
        (op.network is NetMode.HOST, "network.host"),
    ):
        if needed and entitlement not in allowed:
            raise PermissionDenied(
                f"{entitlement} is not allowed",
                hint=f"allow it: --allow {entitlement}",
            )


def _locations(definition: Definition, needed: AbstractSet[str]) -> dict[str, Location]:
    if definition.source is None:
        return {}
    texts = _Texts(definition.source.infos)
    found: dict[str, Location] = {}
    for digest, entry in definition.source.locations:
        if digest not in needed:
            continue
        locations = [texts.place(place) for place in entry.locations]
        known = [place for place in locations if place is not None]
        if known:
            found[digest] = known[0]._replace(others=tuple(known[1:]))
    return found


class _Texts:
    """The source files that a definition's ops come from. Each file is read once."""

    def __init__(self, infos: Sequence[SourceInfo]) -> None:
        self._infos = infos
        self._read: dict[int, tuple[str, bytes]] = {}

    def place(self, place: SourceLocation) -> Location | None:
        index = place.source_index
        if not 0 <= index < len(self._infos) or not place.ranges:
            return None
        first, last = place.ranges[0].start, place.ranges[-1].end or place.ranges[-1].start
        if first is None or last is None:
            return None
        info = self._infos[index]
        if index not in self._read:
            origin = encode_definition(info.definition) if info.definition else b""
            self._read[index] = info.data.decode("utf-8", "surrogateescape"), origin
        text, origin = self._read[index]
        return Location(
            info.filename, first.line, last.line, text, origin, info.language, first.character
        )


def internal_digest(name: str) -> Digest:
    """The digest of a step that is shown but is not an op (loading the Dockerfile, exporting)."""
    import os

    return digest_of(name.encode("utf-8", "surrogateescape") + os.urandom(16))
