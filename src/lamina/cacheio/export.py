"""`--cache-to`: exports the chain of a build's keys, with results, to a cache backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.base.digest import digest_of
from lamina.base.errors import Cancelled, LaminaError, NotFound
from lamina.base.named_tuple import NamedTuple
from lamina.base.oci import Descriptor
from lamina.base.times import format_time
from lamina.cacheio.cache_config import (
    CREATED_AT,
    MEDIA_TYPE,
    UNCOMPRESSED,
    CacheConfig,
    Link,
    Record,
    Result,
    encode,
    encode_records,
    in_order,
    make_manifest,
)
from lamina.cacheio.economics import Economics, rate_of
from lamina.cacheio.options import ExportMode
from lamina.refs.content import StoreContent
from lamina.refs.ref import Ref

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lamina.base.digest import Digest
    from lamina.base.reference import Reference
    from lamina.cacheio.backend import Backend
    from lamina.cacheio.contract import Shown
    from lamina.cacheio.economics import Decision
    from lamina.cacheio.options import CacheExport
    from lamina.cacheio.solved import SolvedGraph
    from lamina.refs.manager import RefManager
    from lamina.registry.upload import Content
    from lamina.solver.chain import ChainRecord
    from lamina.system.cancel import Cancellation


class MadeContent:
    """Content with additional new documents in memory."""

    def __init__(self, content: Content, made: Mapping[Digest, bytes]) -> None:
        self._content = content
        self._made = made

    def document(self, descriptor: Descriptor, cancel: Cancellation) -> bytes:
        made = self._made.get(descriptor.digest)
        return self._content.document(descriptor, cancel) if made is None else made

    def chunks(
        self, descriptor: Descriptor, cancel: Cancellation, offset: int = 0
    ) -> Iterator[bytes]:
        made = self._made.get(descriptor.digest)
        if made is None:
            return self._content.chunks(descriptor, cancel, offset)
        return iter((made[offset:],))

    def repositories(self, descriptor: Descriptor) -> Sequence[Reference]:
        made = descriptor.digest in self._made
        return () if made else self._content.repositories(descriptor)


class ExportedCache(NamedTuple):
    """The descriptor of an exported cache, None if there was nothing to export; and with
    `mode=auto` the decisions, at a rate in bytes per second."""

    target: Descriptor | None
    decisions: tuple[Decision, ...] = ()
    rate: float = 0.0


def export_cache(
    graph: SolvedGraph,
    options: CacheExport,
    backend: Backend,
    refs: RefManager,
    shown: Shown,
    cancel: Cancellation,
) -> ExportedCache:
    """Export the cache.

    If the layers of a result are missing, that is an error if the cache is required. Otherwise it
    is a warning, and the cache does not contain the result.

    Raises NotFound, PermissionDenied, Unavailable, Corrupt, Cancelled.
    """
    left_out: list[LaminaError] = []
    economics = None
    if options.mode is ExportMode.AUTO:
        economics = _measured(graph, options, backend, refs, shown, cancel)
    with shown.doing("preparing build cache for export"):
        config = make_config(graph, options, refs, left_out, cancel, economics)
    decisions = economics.decisions if economics is not None else ()
    rate = economics.rate if economics is not None else 0.0
    for decision in decisions:
        verb = "exporting" if decision.exported else "leaving out"
        shown.status(f"{verb} {decision.step!r}: {decision.reason}")
    if left_out:
        if options.must_succeed:
            raise left_out[0]
        results = "1 result" if len(left_out) == 1 else f"{len(left_out)} results"
        shown.warn(f"the cache was exported without {results}: {left_out[0].reason}")
    if not config.layers:
        shown.status("skipping cache export for empty result")
        return ExportedCache(None, decisions, rate)
    blob = encode(config)
    target, data = make_manifest(
        config, blob, image_manifest=options.image_manifest, docker_types=options.docker_types
    )
    described = digest_of(blob)
    content = MadeContent(StoreContent(refs, refs.blobs), {target.digest: data, described: blob})
    with shown.doing(f"writing layers of cache {backend.label}"):
        layers = {layer.digest: layer for layer in config.layers}
        written = [*layers.values(), Descriptor(MEDIA_TYPE, described, len(blob))]
        backend.stage("", written, content, cancel, shown.meter("writing layer"))
        backend.name("", target, content, cancel)
    shown.status(f"writing config {described}")
    kind = "cache image manifest" if options.image_manifest else "cache manifest"
    shown.status(f"writing {kind} {target.digest}")
    return ExportedCache(target, decisions, rate)


def _measured(
    graph: SolvedGraph,
    options: CacheExport,
    backend: Backend,
    refs: RefManager,
    shown: Shown,
    cancel: Cancellation,
) -> Economics:
    """Write the layers of the targets, which are exported in any case and show the rate."""
    always: dict[Digest, Descriptor] = {}
    for target in graph.targets:
        if target is not None and graph.is_available(target):
            for _, layer in refs.packer.packed(
                Ref(target), options.compression, cancel, force=options.force_compression
            ):
                always[layer.descriptor.digest] = layer.descriptor
    with shown.doing(f"writing layers of cache {backend.label}"):
        content = StoreContent(refs, refs.blobs)
        backend.stage("", list(always.values()), content, cancel, shown.meter("writing layer"))
    economics = Economics(graph.seconds, rate_of(backend))
    economics.include(list(always.values()))
    return economics


def make_config(
    graph: SolvedGraph,
    options: CacheExport,
    refs: RefManager,
    left_out: list[LaminaError],
    cancel: Cancellation,
    economics: Economics | None = None,
) -> CacheConfig:
    """The chain with the layers of its results. Packs them if necessary.

    `left_out` gets the errors of missing results. With `economics` it decides about results that
    the targets are not based on.
    """
    wanted = {state.id for target in graph.targets for state in refs.snapshots.stack(target)}
    every = options.mode is not ExportMode.MIN
    layers: list[Descriptor] = []
    parents: list[int] = []
    positions: dict[tuple[int, Digest], int] = {}

    def result_of(record: ChainRecord) -> Result | None:
        snapshot = graph.snapshot(record)
        if snapshot is None or not (every or snapshot in wanted):
            return None
        cancel.check()
        try:
            if not graph.is_available(snapshot):
                raise NotFound(
                    f"the layers of {refs.snapshots.description(snapshot)!r} are no longer"
                    " available at their origin",
                    hint="build with --no-cache to rebuild them",
                )
            packed = refs.packer.packed(
                Ref(snapshot), options.compression, cancel, force=options.force_compression
            )
        except Cancelled:
            raise
        except LaminaError as error:
            left_out.append(error)
            return None  # its key still leads to those of its users
        if economics is not None and snapshot not in wanted:
            found = [layer.descriptor for _, layer in packed]
            if not economics.takes(snapshot, refs.snapshots.description(snapshot), found):
                return None
        stack: list[int] = []
        created = ""
        for state, layer in packed:
            created = format_time(refs.snapshots.created(state.id))
            position = (stack[-1] if stack else -1, layer.descriptor.digest)
            if position not in positions:
                positions[position] = len(layers)
                notes = ((CREATED_AT, created), (UNCOMPRESSED, str(layer.diff_id)))
                layers.append(layer.descriptor._replace(annotations=notes, urls=()))
                parents.append(position[0])
            stack.append(positions[position])
        return Result(tuple(stack), created) if stack else None

    records = _records(graph, result_of)
    return CacheConfig(tuple(layers), tuple(parents), records)


def inline_records(graph: SolvedGraph, states: Sequence[int], refs: RefManager) -> bytes | None:
    """The records for the inline cache of an image with these snapshots, lowest first.

    None if no result is completely part of it.
    """
    import json

    position = {state: index for index, state in enumerate(states)}

    def result_of(record: ChainRecord) -> Result | None:
        snapshot = graph.snapshot(record)
        stack = refs.snapshots.stack(snapshot)
        if snapshot is None or any(state.id not in position for state in stack):
            return None
        created = format_time(refs.snapshots.created(snapshot))
        return Result(tuple(position[state.id] for state in stack), created)

    records = _records(graph, result_of)
    if not any(record.results for record in records):
        return None
    parents = tuple(range(-1, len(states) - 1))
    documents: list[dict[str, Any]] = encode_records(CacheConfig((), parents, records))
    return json.dumps(documents, separators=(",", ":")).encode()


def _records(
    graph: SolvedGraph, result_of: Callable[[ChainRecord], Result | None]
) -> tuple[Record, ...]:
    records = []
    for record in graph.chain:
        result = result_of(record)
        inputs = tuple(tuple(Link(*link) for link in links) for links in record.inputs)
        records.append(Record(record.digest, inputs, (result,) if result is not None else ()))
    contents = {r.digest: index for index, r in enumerate(records) if not r.inputs}
    for index, chained in enumerate(graph.chain):
        for position, digests in sorted(graph.contents(chained).items()):
            for digest in sorted(digests):
                if digest not in contents:
                    contents[digest] = len(records)
                    records.append(Record(digest))
                link = Link(contents[digest])
                inputs = records[index].inputs
                if link not in inputs[position]:
                    more = (*inputs[:position], (*inputs[position], link), *inputs[position + 1 :])
                    records[index] = records[index]._replace(inputs=more)
    return in_order(records)
