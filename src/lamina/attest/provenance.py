"""The provenance of a build, as an attestation of each platform's result."""

from __future__ import annotations

import os
import threading
import time
from functools import cache
from typing import TYPE_CHECKING, Any

from lamina.attest.build_steps import build_steps, digest_mapping, source_texts
from lamina.attest.contract import Attestation
from lamina.attest.materials import materials_of, of_platform
from lamina.attest.predicate import PREDICATE_TYPES, ProvenanceFacts, predicate
from lamina.attest.statements import INLINE_ONLY, REASON
from lamina.base.errors import IncompleteMaterials
from lamina.base.gojson import encode
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lamina.attest.contract import FrontendCall
    from lamina.attest.materials import Materials
    from lamina.attest.options import ProvenanceOptions
    from lamina.attest.step_usage import MeasuredUsage
    from lamina.base.digest import Digest
    from lamina.base.oci import Descriptor
    from lamina.base.platform import Platform
    from lamina.llb.op import Definition
    from lamina.sources.material import Material

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"

VertexKey = tuple["Digest", bool]
"""A vertex in a build: its digest, and whether it ignores the cache."""


class BuiltVertex(NamedTuple):
    """A vertex of the build. `material` is the resolved source, if it is one. `layers` are the
    packed layers of each output, by the number of the output. `usage` is that of a command that
    has run."""

    key: VertexKey
    data: bytes
    material: Callable[[], Material | None]
    layers: Callable[[], Mapping[int, Sequence[Descriptor]]]
    usage: Callable[[], MeasuredUsage | None]


class BuildFacts(NamedTuple):
    """The facts about a build. The functions are called when provenance is written.

    `started` is in seconds since 1970; `environment` are fields that the administrator adds;
    `noted` are the materials that frontends read.
    """

    started: float
    environment: Mapping[str, Any]
    vertices: Callable[[], Sequence[BuiltVertex]]
    noted: Callable[[], Sequence[Material]]


class ProvenancePart(NamedTuple):
    """One platform's result: the call and the definition that made it."""

    platform: Platform
    call: FrontendCall | None
    definition: Definition | None
    vertices: frozenset[VertexKey]


class BuildProvenance:
    """Writes the provenance of the results.

    Args:
        several: whether there are several platforms, in an index.
    """

    def __init__(
        self,
        facts: BuildFacts,
        parts: Sequence[ProvenancePart],
        options: ProvenanceOptions,
        *,
        several: bool,
    ) -> None:
        self._parts = parts
        self._options = options
        finished = cache(time.time)  # the same time for all platforms
        invocation = "".join(_ALPHABET[byte % 36] for byte in os.urandom(25))
        self._builders = [
            _ProvenanceBuilder(facts, parts, number, options, invocation, finished, several=several)
            for number in range(len(parts))
        ]

    def attestations(self) -> list[Attestation]:
        """One attestation per platform, written when the first output needs it, and the same for
        all."""
        options = self._options
        inline = b"true" if options.inline_only else b"false"
        return [
            Attestation(
                options.filename,
                PREDICATE_TYPES[options.version],
                predicate=builder.predicate,
                metadata={REASON: b"provenance", INLINE_ONLY: inline},
            )
            for builder in self._builders
        ]

    def check_materials(self) -> None:
        """Raise IncompleteMaterials if all materials are required and one is not known.

        This applies even if no output has provenance. The whole result must be solved before.
        """
        if self._options.complete_materials:
            for builder in self._builders:
                builder.materials()


class _ProvenanceBuilder:
    def __init__(
        self,
        facts: BuildFacts,
        parts: Sequence[ProvenancePart],
        number: int,
        options: ProvenanceOptions,
        invocation: str,
        finished: Callable[[], float],
        *,
        several: bool,
    ) -> None:
        self._facts = facts
        self._parts = parts
        self._part = parts[number]
        self._options = options
        self._invocation = invocation
        self._finished = finished
        self._several = several
        self._lock = threading.Lock()
        self._written = b""

    def predicate(self) -> bytes:
        """The predicate. Raises IncompleteMaterials if all materials are required and one is not
        known."""
        with self._lock:
            if not self._written:
                self._written = encode(self._document())
            return self._written

    def _document(self) -> dict[str, Any]:
        facts = ProvenanceFacts(
            self._part.call,
            self.materials(),
            self._invocation,
            self._facts.started,
            self._finished(),
            environment=self._facts.environment,
        )
        if self._options.mode == "max":
            facts = self._in_full(facts)
        return predicate(facts, self._options)

    def materials(self) -> Materials:
        noted = self._facts.noted()
        if self._several:
            noted = of_platform(noted, self._part.platform, [p.platform for p in self._parts])
        vertices = self._vertices()
        sources = [found for vertex in vertices if (found := vertex.material()) is not None]
        materials = materials_of([vertex.data for vertex in vertices], [*sources, *noted])
        if self._options.complete_materials and not materials.complete:
            raise IncompleteMaterials(materials.folders)
        return materials

    def _vertices(self) -> list[BuiltVertex]:
        """The vertices of the platform, and those of no platform: sources that frontends read."""
        others = frozenset[VertexKey]().union(*(part.vertices for part in self._parts))
        others -= self._part.vertices
        return [vertex for vertex in self._facts.vertices() if vertex.key not in others]

    def _in_full(self, facts: ProvenanceFacts) -> ProvenanceFacts:
        definition = self._part.definition
        steps, numbers = build_steps(definition, self._usage())
        config: dict[str, Any] = {"llbDefinition": steps} if steps else {}
        if numbers:
            config["digestMapping"] = digest_mapping(numbers)
        texts = source_texts(definition, numbers) if definition is not None else None
        return facts._replace(build_config=config, texts=texts, layers=self._layers(numbers))

    def _usage(self) -> dict[str, dict[str, Any]]:
        if not self._options.capture_usage:
            return {}
        from lamina.attest.step_usage import usage_samples

        measured = ((str(vertex.key[0]), vertex.usage()) for vertex in self._facts.vertices())
        return {digest: usage_samples(usage) for digest, usage in measured if usage is not None}

    def _layers(self, numbers: dict[str, int]) -> dict[str, Any]:
        """The packed layers of results, by step and output."""
        found: dict[str, Any] = {}
        for vertex in self._facts.vertices():
            place = numbers.get(str(vertex.key[0]))
            if place is None:
                continue
            for output, layers in vertex.layers().items():
                plain = [layer._replace(annotations=()) for layer in layers]
                found[f"step{place}:{output}"] = [[layer.to_json() for layer in plain]]
        return dict(sorted(found.items()))
