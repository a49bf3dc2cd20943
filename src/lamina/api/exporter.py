"""`moby.exporter.v1.Exporter`: a client that chooses the outputs when the result is known."""

from __future__ import annotations

from lamina.base.named_tuple import NamedTuple
from lamina.wire.fields import many, mapping, string, strings
from lamina.wire.protobuf import Kind, Schema

SERVICE = "moby.exporter.v1.Exporter"
FIND_EXPORTERS = f"/{SERVICE}/FindExporters"
FINALIZE_EXPORT = f"/{SERVICE}/FinalizeExport"


class FindExportersRequest(NamedTuple):
    metadata: tuple[tuple[str, bytes], ...] = ()
    refs: tuple[str, ...] = ()


class ExporterRequest(NamedTuple):
    type: str = ""
    attrs: tuple[tuple[str, str], ...] = ()


class FindExportersResponse(NamedTuple):
    exporters: tuple[ExporterRequest, ...] = ()


class FinalizeExportRequest(NamedTuple):
    exporter_response: tuple[tuple[str, str], ...] = ()


class FinalizeExportResponse(NamedTuple):
    pass


SCHEMA: Schema = {
    FindExportersRequest: (mapping(1, "metadata", Kind.BYTES), strings(2, "refs")),
    ExporterRequest: (string(1, "type"), mapping(2, "attrs")),
    FindExportersResponse: (many(1, "exporters", ExporterRequest),),
    FinalizeExportRequest: (mapping(1, "exporter_response"),),
    FinalizeExportResponse: (),
}
