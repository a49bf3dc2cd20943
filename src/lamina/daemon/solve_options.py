"""Converts requests to options of a build, and its outcome to a response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.base.errors import InvalidInput, PermissionDenied, Unsupported
from lamina.cacheio.options import ClientLocation, FolderLocation, make_export
from lamina.dockerfile.args import parse_epoch
from lamina.engine.build import BuildOptions
from lamina.engine.caching.build_caches import BuildCacheOptions, client_import
from lamina.exporters.attributes import wire_output
from lamina.records.outputs import wire_metadata
from lamina.sources.image import ResolveMode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lamina.api.control import CacheOptions, CacheOptionsEntry, Exporter, SolveRequest
    from lamina.cacheio.options import CacheExport
    from lamina.exporters.destination import Output
    from lamina.session.table import SessionTable
    from lamina.system.cancel import Cancellation

_EPOCH = "source-date-epoch"


def build_options(
    request: SolveRequest,
    entitlements: frozenset[str],
    sessions: SessionTable,
    cancel: Cancellation,
) -> BuildOptions:
    """The options of a request's build.

    Args:
        entitlements: those that clients may grant by the daemon's configuration.

    Raises InvalidInput, Unsupported, PermissionDenied, Cancelled.
    """
    verifier = None
    if request.source_policy_session:
        verifier = sessions.get(request.source_policy_session, cancel)
    return BuildOptions(
        ResolveMode.REMOTE,
        _granted(request.entitlements, entitlements),
        cache_options_of(request.cache),
        () if request.source_policy is None else (request.source_policy,),
        verifier,
    )


def outputs_of(request: SolveRequest) -> list[Output]:
    """The request's exporters. In the session, a file output is identified by its number.

    Raises InvalidInput, Unsupported.
    """
    return [
        output_of(request, exporter.type, exporter.attrs, number)
        for number, exporter in enumerate(_exporters(request))
    ]


def output_of(
    request: SolveRequest, kind: str, attrs: Iterable[tuple[str, str]], number: int
) -> Output:
    """One output of a request. `number` is its index. Raises InvalidInput, Unsupported."""
    # A value that is not a number is a time that only the frontend can determine.
    epoch = parse_epoch(dict(request.frontend_attrs).get("build-arg:SOURCE_DATE_EPOCH", ""))
    pairs = dict(attrs)
    if epoch is not None:
        pairs.setdefault(_EPOCH, str(epoch))
    return wire_output(kind, pairs, str(number))


def cache_options_of(cache: CacheOptions | None) -> BuildCacheOptions:
    """The cache imports and exports. Raises InvalidInput, Unsupported."""
    if cache is None:
        return BuildCacheOptions()
    exports = [_pairs(entry) for entry in cache.exports]
    if cache.export_ref_deprecated:
        attrs = dict(cache.export_attrs_deprecated)
        exports.append({"type": "registry", **attrs, "ref": cache.export_ref_deprecated})
    imports = [_pairs(entry) for entry in cache.imports]
    imports += [{"type": "registry", "ref": ref} for ref in cache.import_refs_deprecated]
    _refuse_duplicates(exports)
    return BuildCacheOptions(tuple(map(client_import, imports)), tuple(map(_export, exports)))


def response_of(metadata: Mapping[str, Any], frontend: Mapping[str, bytes]) -> dict[str, str]:
    """The outcome of outputs, and the frontend's metadata for the client, as texts."""
    found = wire_metadata(metadata)
    for key, data in frontend.items():
        if key.startswith("frontend."):
            found[key] = data.decode("utf-8", "replace")
    return found


def _exporters(request: SolveRequest) -> Sequence[Exporter]:
    from lamina.api.control import Exporter

    if request.exporters or not request.exporter_deprecated:
        return request.exporters
    return (Exporter(request.exporter_deprecated, request.exporter_attrs_deprecated),)


def _export(pairs: dict[str, str]) -> CacheExport:
    requested = make_export(pairs)
    if not isinstance(requested.location, FolderLocation):
        return requested
    if requested.mounts:
        raise Unsupported(
            "cache mounts cannot be kept in a client's directory", hint="use type=registry"
        )
    return requested._replace(location=ClientLocation(f"local:{pairs['dest']}"))


def _pairs(entry: CacheOptionsEntry) -> dict[str, str]:
    return {"type": entry.type, **dict(entry.attrs)}


def _refuse_duplicates(exports: Iterable[dict[str, str]]) -> None:
    seen = []
    for pairs in exports:
        if pairs in seen:
            raise InvalidInput(f"duplicate cache exports [{pairs['type']}]")
        seen.append(pairs)


def _granted(wanted: tuple[str, ...], allowed: frozenset[str]) -> frozenset[str]:
    for name in wanted:
        kind = name.partition("=")[0]
        if kind not in allowed:
            raise PermissionDenied(
                f"granting entitlement {name} is not allowed by build daemon configuration",
                hint="allow it there: insecure-entitlements, --allow-insecure-entitlement",
            )
    return frozenset(wanted)
