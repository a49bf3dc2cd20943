"""Causes of cache misses as JSON documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.times import format_time
from lamina.records.causes import DependsOn, FilesChanged, ResultPruned
from lamina.records.wording import cause_text

if TYPE_CHECKING:
    from lamina.records.causes import Cause


def cause_document(cause: Cause) -> dict[str, object]:
    """`cause` is the kind, in camel case, and `text` the cause in words. Other fields depend on
    the kind."""
    kind = type(cause).__name__
    document: dict[str, object] = {"cause": kind[0].lower() + kind[1:], "text": cause_text(cause)}
    match cause:
        case ResultPruned(when):
            document["when"] = format_time(when)
        case DependsOn(step):
            document["step"] = step.digest
        case FilesChanged(source, changes):
            document["source"] = None if source is None else source.digest
            if changes is not None:
                document["count"] = changes.total
                document["paths"] = [change._asdict() for change in changes.first]
        case _:
            fields = cause._asdict()
            fields.pop("reason", None)
            document |= fields
    return document
