"""Records in the JSON of Go's encoding of BuildKit's message, for bundles in buildx's format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lamina.api.descriptor import Descriptor
    from lamina.api.history import BuildHistoryRecord, BuildResultInfo
    from lamina.api.timestamp import Timestamp


def record_json(record: BuildHistoryRecord) -> dict[str, Any]:
    """The document; empty fields are left out, as in Go."""
    error = record.error
    found = {
        "Ref": record.ref,
        "Frontend": record.frontend,
        "FrontendAttrs": dict(record.frontend_attrs),
        "Exporters": [{"Type": item.type, "Attrs": dict(item.attrs)} for item in record.exporters],
        "error": None if error is None else {"code": error.code, "message": error.message},
        "CreatedAt": _moment(record.created_at),
        "CompletedAt": _moment(record.completed_at),
        "logs": _descriptor(record.logs),
        "ExporterResponse": dict(record.exporter_response),
        "Result": _result(record.result),
        "Results": {name: _result(result) for name, result in record.results},
        "Generation": record.generation,
        "trace": _descriptor(record.trace),
        "pinned": record.pinned,
        "numCachedSteps": record.num_cached_steps,
        "numTotalSteps": record.num_total_steps,
        "numCompletedSteps": record.num_completed_steps,
        "externalError": _descriptor(record.external_error),
        "numWarnings": record.num_warnings,
    }
    return _present(found)


def _present(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if value}


def _moment(moment: Timestamp | None) -> dict[str, int] | None:
    return None if moment is None else _present(moment._asdict())


def _descriptor(target: Descriptor | None) -> dict[str, Any] | None:
    if target is None:
        return None
    return _present(
        {
            "media_type": target.media_type,
            "digest": target.digest,
            "size": target.size,
            "annotations": dict(target.annotations),
        }
    )


def _result(result: BuildResultInfo | None) -> dict[str, Any] | None:
    if result is None:
        return None
    return _present(
        {
            "ResultDeprecated": _descriptor(result.result_deprecated),
            "Attestations": [_descriptor(target) for target in result.attestations],
            "Results": {
                str(entry.number): _descriptor(entry.descriptor) for entry in result.results
            },
        }
    )
