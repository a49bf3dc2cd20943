"""Adds provenance to the attestations of a result."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from lamina.attest.provenance import BuildFacts, BuildProvenance, BuiltVertex, ProvenancePart
from lamina.attest.step_usage import MeasuredUsage
from lamina.engine.credential_scoped_op import material_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from lamina.attest.options import ProvenanceOptions
    from lamina.base.oci import Descriptor
    from lamina.cacheio.shared_results import SharedResults
    from lamina.engine.build_result import BuildResult
    from lamina.refs.manager import RefManager
    from lamina.refs.ref import Ref
    from lamina.solver.job import Job
    from lamina.solver.node import Node
    from lamina.sources.material import Material


def with_provenance(
    facts: BuildFacts, result: BuildResult, options: ProvenanceOptions
) -> BuildResult:
    """The result, with provenance among each part's attestations."""
    attestations = _provenance(facts, result, options).attestations()
    parts = (
        part._replace(attestations=(*part.attestations, attestation))
        for part, attestation in zip(result.parts, attestations, strict=True)
    )
    return result._replace(parts=tuple(parts))


def check_materials(facts: BuildFacts, result: BuildResult, options: ProvenanceOptions) -> None:
    """Raise IncompleteMaterials if a material is not known; see
    `BuildProvenance.check_materials`."""
    _provenance(facts, result, options).check_materials()


def facts_of(
    job: Job[Ref],
    results: SharedResults,
    refs: RefManager,
    *,
    started: float,
    environment: Mapping[str, Any],
    noted: Callable[[], Sequence[Material]],
) -> BuildFacts:
    """The facts about a build for its provenance. `BuildFacts` explains the last three."""
    return BuildFacts(
        started,
        environment,
        lambda: [
            BuiltVertex(
                key,
                node.spec.data,
                partial(material_of, node.op),
                partial(_packed_layers, node, results, refs),
                partial(_usage, node),
            )
            for key, node in list(job.nodes.items())
        ],
        noted,
    )


def _provenance(
    facts: BuildFacts, result: BuildResult, options: ProvenanceOptions
) -> BuildProvenance:
    parts = [
        ProvenancePart(
            part.platform,
            part.files.call,
            part.files.definition,
            frozenset(
                (vertex.digest, vertex.ignore_cache)
                for vertex in (part.files.graph.vertices if part.files.graph is not None else ())
            ),
        )
        for part in result.parts
    ]
    return BuildProvenance(facts, parts, options, several=result.several)


def _usage(node: Node[Ref]) -> MeasuredUsage | None:
    with node.backlog.lock:
        found = node.backlog.usage
    return None if found is None else MeasuredUsage(*found)


def _packed_layers(
    node: Node[Ref], results: SharedResults, refs: RefManager
) -> Mapping[int, Sequence[Descriptor]]:
    """The layers of a vertex's outputs that are packed."""
    if not node.keyed:
        return {}
    found = {}
    for output in sorted(node.outputs):
        snapshot = None
        if node.results is not None:
            result = node.results.get(output)
            snapshot = None if result is None else result.snapshot
        elif node.found_in is not None:
            snapshot = results.snapshot_of(node.key, output)
        stack = refs.snapshots.stack(snapshot)
        packed = [refs.layers.of(below.id)[:1] for below in stack]
        if stack and all(packed):
            found[output] = [layer.descriptor for (layer,) in packed]
    return found
