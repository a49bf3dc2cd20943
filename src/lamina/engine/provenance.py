"""Provenance: what a build tells of itself, attested of each part of its result."""

from __future__ import annotations

import os
import threading
import time
from functools import cache
from typing import TYPE_CHECKING, Any

from lamina.base.errors import IncompleteMaterials
from lamina.base.gojson import encode
from lamina.engine.attestations import INLINE_ONLY, REASON
from lamina.engine.build_result import Attestation
from lamina.engine.build_steps import build_steps, digest_mapping, source_texts
from lamina.engine.materials import materials_of, of_platform
from lamina.engine.predicate import PREDICATE_TYPES, Told, predicate

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.engine.attest_options import ProvenanceOptions
    from lamina.engine.build import Build
    from lamina.engine.build_result import BuildResult, PlatformResult
    from lamina.engine.materials import Materials
    from lamina.refs.ref import Ref
    from lamina.solver.node import Node

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


def with_provenance(build: Build, result: BuildResult, options: ProvenanceOptions) -> BuildResult:
    """The result with provenance among each part's attestations.

    It is told when the first output asks for it, and then the same to all.
    """
    metadata = {REASON: b"provenance", INLINE_ONLY: b"true" if options.inline_only else b"false"}
    finished = cache(time.time)  # one moment for all parts
    invocation = "".join(_ALPHABET[byte % 36] for byte in os.urandom(25))

    def attested(part: PlatformResult) -> PlatformResult:
        teller = _Teller(build, result, part, options, invocation, finished)
        attestation = Attestation(
            options.filename,
            PREDICATE_TYPES[options.version],
            predicate=teller.tell,
            metadata=metadata,
        )
        return part._replace(attestations=(*part.attestations, attestation))

    return result._replace(parts=tuple(map(attested, result.parts)))


def check_materials(build: Build, result: BuildResult, options: ProvenanceOptions) -> None:
    """Raise IncompleteMaterials if all are wanted and not all are known, whether or not an
    output asks for provenance. All of the result must be made."""
    if options.complete_materials:
        for part in result.parts:
            _Teller(build, result, part, options, "", time.time).materials()


class _Teller:
    def __init__(
        self,
        build: Build,
        result: BuildResult,
        part: PlatformResult,
        options: ProvenanceOptions,
        invocation: str,
        finished: Callable[[], float],
    ) -> None:
        self._build = build
        self._result = result
        self._part = part
        self._options = options
        self._invocation = invocation
        self._finished = finished
        self._lock = threading.Lock()
        self._told = b""

    def tell(self) -> bytes:
        """Raises IncompleteMaterials if all are wanted and not all are known."""
        with self._lock:
            if not self._told:
                self._told = encode(self._document())
            return self._told

    def _document(self) -> dict[str, Any]:
        build, part = self._build, self._part
        materials = self.materials()
        told = Told(
            part.files.call,
            materials,
            self._invocation,
            build.started,
            self._finished(),
            environment=build.engine.policy.provenance,
        )
        if self._options.mode == "max":
            told = self._in_full(told)
        return predicate(told, self._options)

    def materials(self) -> Materials:
        noted = self._build.noted
        if self._result.several:
            every = [part.platform for part in self._result.parts]
            noted = of_platform(noted, self._part.platform, every)
        materials = materials_of(self._nodes(), noted)
        if self._options.complete_materials and not materials.complete:
            raise IncompleteMaterials(materials.folders)
        return materials

    def _nodes(self) -> list[Node[Ref]]:
        """The vertices of the part, and those that are in no part: what frontends looked at."""
        own = _vertices(self._part)
        others = {v for part in self._result.parts for v in _vertices(part)} - own
        return [node for key, node in list(self._build.job.nodes.items()) if key not in others]

    def _in_full(self, told: Told) -> Told:
        definition = self._part.files.definition
        steps, places = build_steps(definition)
        config: dict[str, Any] = {"llbDefinition": steps} if steps else {}
        if places:
            config["digestMapping"] = digest_mapping(places)
        texts = source_texts(definition, places) if definition is not None else None
        return told._replace(build_config=config, texts=texts, layers=self._layers(places))

    def _layers(self, places: dict[str, int]) -> dict[str, Any]:
        """The layers of results that are packed, by step and output."""
        build = self._build
        pool = build.engine.pool
        found: dict[str, Any] = {}
        for node in list(build.job.nodes.values()):
            place = places.get(str(node.spec.digest))
            if place is None or not node.keyed:
                continue
            for output in sorted(node.outputs):
                state = None
                if node.results is not None:
                    result = node.results.get(output)
                    state = None if result is None else result.snapshot
                elif node.found_in is not None:
                    state = build.results.snapshot_of(node.key, output)
                stack = pool.snapshots.stack(state)
                packed = [pool.layers.of(snapshot.id)[:1] for snapshot in stack]
                if stack and all(packed):
                    layers = [layer.descriptor._replace(annotations=()) for (layer,) in packed]
                    found[f"step{place}:{output}"] = [[layer.to_json() for layer in layers]]
        return dict(sorted(found.items()))


def _vertices(part: PlatformResult) -> set[tuple[Any, bool]]:
    graph = part.files.graph
    return {(v.digest, v.ignore_cache) for v in graph.vertices} if graph is not None else set()
