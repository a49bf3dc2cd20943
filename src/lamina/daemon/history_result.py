"""The part of a build record about its results: descriptors and provenance."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lamina.api.descriptor import Descriptor
from lamina.attest.options import ProvenanceOptions
from lamina.attest.predicate import PREDICATE_TYPES
from lamina.base.digest import digest_of
from lamina.base.gojson import encode_indented
from lamina.base.named_tuple import NamedTuple
from lamina.engine.outputs.result_provenance import with_provenance
from lamina.records.outputs import recorded_images
from lamina.records.recorder import Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.engine.build import Build
    from lamina.engine.build_result import BuildResult, Finished
    from lamina.exporters.destination import Output

_IN_TOTO = "application/vnd.in-toto+json"
_PREDICATE = "in-toto.io/predicate-type"


class HistoryResult(NamedTuple):
    """One result, or results by platform ID."""

    result: Result = Result()
    platforms: tuple[tuple[str, Result], ...] = ()


def history_result(
    build: Build,
    result: BuildResult,
    outputs: Sequence[Output],
    finished: Finished,
    options: ProvenanceOptions | None,
) -> HistoryResult:
    """Store the provenance of every platform, even if no output has it.

    Args:
        finished: the outcome of the outputs.
        options: the provenance that the client requested, if any.
    """
    builder = options.builder_id if options is not None else ""
    chosen = ProvenanceOptions(builder_id=builder, capture_usage=True)
    images = recorded_images(outputs, finished.outputs)
    attested = {
        part.key: _stored(build, part.attestations[-1].predicate)
        for part in with_provenance(build.facts(), result, chosen).parts
        if part.files.graph is not None
    }
    if not result.several:
        return HistoryResult(Result(images, tuple(attested.values())))
    platforms = tuple((key, Result((), (found,))) for key, found in attested.items())
    return HistoryResult(Result(images), platforms)


def _stored(build: Build, predicate: Any) -> Descriptor:
    data = encode_indented(json.loads(predicate()))  # clients show it unchanged
    build.blobs.put(data)
    annotations = ((_PREDICATE, PREDICATE_TYPES["v1"]),)
    return Descriptor(_IN_TOTO, str(digest_of(data)), len(data), annotations)
