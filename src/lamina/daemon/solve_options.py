"""Converts requests to options of a build, and its outcome to a response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.base.errors import InvalidInput, Unsupported
from lamina.cacheio.options import ClientLocation, FolderLocation, make_export
from lamina.dockerfile.args import parse_epoch
from lamina.engine.caching.build_caches import BuildCacheOptions, client_import
from lamina.exporters.attributes import wire_output
from lamina.records.outputs import wire_metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lamina.api.control import CacheOptions, CacheOptionsEntry, Exporter, SolveRequest
    from lamina.cacheio.options import CacheExport
    from lamina.exporters.destination import Output

_EPOCH = "source-date-epoch"


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
