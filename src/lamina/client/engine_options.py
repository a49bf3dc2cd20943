"""What a build request means to the engine: outputs, caches, attestations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.digest import digest_of
from lamina.base.events import WarningEvent
from lamina.engine.caching.build_caches import BuildCacheOptions
from lamina.exporters.attributes import make_output

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lamina.attest.options import ProvenanceOptions
    from lamina.client.contract import BuildRequest, CacheSpec
    from lamina.client.failure_outputs import FailureOutputs
    from lamina.exporters.destination import Output


def provenance_options(request: BuildRequest) -> ProvenanceOptions | None:
    """None if no attestation is wanted. Raises InvalidInput."""
    if not request.attests:
        return None
    from lamina.attest.options import wanted_attestations

    return wanted_attestations({f"attest:{kind}": text for kind, text in request.attests})


def cache_options(request: BuildRequest) -> BuildCacheOptions:
    """The caches that are imported and exported. Raises InvalidInput, Unsupported."""
    if not request.cache_from and not request.cache_to:
        return BuildCacheOptions()
    from lamina.cacheio.options import make_export, make_import

    return BuildCacheOptions(
        tuple(make_import(cache_pairs(spec)) for spec in request.cache_from),
        tuple(make_export(cache_pairs(spec)) for spec in request.cache_to),
    )


def cache_pairs(spec: CacheSpec) -> dict[str, str]:
    """The attributes of a cache, with its type."""
    return {"type": spec.type, **dict(spec.attributes)}


def made_outputs(wanted: Iterable[tuple[str, Mapping[str, str]]]) -> list[Output]:
    """The outputs of these types and attributes. Raises InvalidInput."""
    return [make_output({"type": kind, **pairs}) for kind, pairs in wanted]


def failure_outputs_of(request: BuildRequest) -> FailureOutputs | None:
    """What is written if a step fails, None for nothing."""
    if not request.failure_outputs:
        return None
    from lamina.client.failure_outputs import FailureOutputs

    return FailureOutputs(request.failure_outputs)


def whole_trees_warning(root: str) -> WarningEvent:
    """The warning of a store on a file system that overlayfs does not support."""
    return WarningEvent(
        digest_of(b"[internal] snapshotter"),
        f"overlayfs cannot mount in {root}: every step copies the whole tree",
        ("Place the store on another file system (--root or LAMINA_ROOT) to build faster.",),
    )
