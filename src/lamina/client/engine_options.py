"""A build request as the engine takes it: outputs, caches, attestations, the record."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.api.history import BuildHistoryRecord
from lamina.base.digest import digest_of
from lamina.base.events import WarningEvent
from lamina.client.cache_attributes import cache_pairs
from lamina.client.frontend_attributes import frontend_of
from lamina.engine.caching.build_caches import BuildCacheOptions
from lamina.exporters.attributes import make_output
from lamina.records.request import recorded_attributes, recorded_cache, recorded_output

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lamina.attest.options import WantedAttestations
    from lamina.client.contract import BuildRequest
    from lamina.client.failure_outputs import FailureOutputs
    from lamina.engine.host_setup import Host
    from lamina.exporters.destination import Output


def attestations_of(request: BuildRequest) -> WantedAttestations | None:
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


def made_outputs(wanted: Iterable[tuple[str, Mapping[str, str]]]) -> list[Output]:
    """The outputs of these types and attributes. Raises InvalidInput."""
    return [make_output({"type": kind, **pairs}) for kind, pairs in wanted]


def failure_outputs_of(request: BuildRequest) -> FailureOutputs | None:
    """What is written if a step fails, None for nothing."""
    if not request.failure_outputs:
        return None
    from lamina.client.failure_outputs import FailureOutputs

    return FailureOutputs(request.failure_outputs)


def host_warnings(root: str, host: Host) -> tuple[WarningEvent, ...]:
    """The warnings of each build on a machine that limits builds.

    Args:
        root: the store's directory.
    """
    warnings = [
        WarningEvent(digest_of(b"[internal] user namespace"), text, ()) for text in host.warnings
    ]
    if not host.overlay:
        warnings.append(
            WarningEvent(
                digest_of(b"[internal] snapshotter"),
                f"overlayfs cannot mount in {root}: every step copies the whole tree",
                (
                    "Place the store on another file system (--root or LAMINA_ROOT) to build"
                    " faster.",
                ),
            )
        )
    return tuple(warnings)


def build_record(
    request: BuildRequest,
    attributes: Mapping[str, str],
    outputs: Sequence[tuple[str, Mapping[str, str]]],
) -> BuildHistoryRecord:
    """The record of a build at its start."""
    context = request.context
    dockerfile = context.dockerfile or os.path.join(context.path, attributes["filename"])
    return BuildHistoryRecord(
        ref=request.ref or os.urandom(16).hex(),
        frontend=frontend_of(request),
        frontend_attrs=recorded_attributes(attributes),
        exporters=tuple(recorded_output(kind, pairs.items()) for kind, pairs in outputs),
        cache_imports=tuple(recorded_cache(c.type, c.attributes) for c in request.cache_from),
        cache_exports=tuple(recorded_cache(c.type, c.attributes) for c in request.cache_to),
        context_path="" if context.elsewhere else context.path,
        dockerfile_path="" if context.dockerfile_data is not None else dockerfile,
    )
