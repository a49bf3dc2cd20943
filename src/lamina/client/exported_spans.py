"""The export of an embedded build's spans to a collector."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.digest import digest_of
from lamina.base.events import WarningEvent
from lamina.records.span_export import export_recorded, export_settings
from lamina.records.trace_parent import VARIABLE

if TYPE_CHECKING:
    from lamina.api.history import BuildHistoryRecord
    from lamina.base.events import EventSink
    from lamina.stores.blobs import BlobStore


def export_if_wanted(blobs: BlobStore, record: BuildHistoryRecord, events: EventSink) -> None:
    """Export the spans of a build that has ended, if the environment says so; warn if that fails.

    Takes no longer than `ExportSettings.timeout`.
    """
    settings = export_settings(os.environ)
    if settings is None:
        return
    failure = export_recorded(settings, blobs, record, os.environ.get(VARIABLE, ""))
    if failure:
        events(WarningEvent(digest_of(b"[internal] exporting spans"), failure))
