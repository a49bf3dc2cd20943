"""`lamina history IMAGE` and `lamina image history`: the layers of an image (docker history)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from lamina.base.named_tuple import NamedTuple
from lamina.base.times import parse_time
from lamina.cli.opening import open_local_store
from lamina.cli.tables import chosen_format, is_template, json_lines, print_text, table
from lamina.cli.units import show_ago, show_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lamina.cli.flags import Parsed

_CUT = 45  # characters of a command
_TITLES = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}


class HistoryEntry(NamedTuple):
    """One step of an image. `created` is RFC 3339, "" if unknown; `size` that of the layer's blob,
    in bytes."""

    id: str
    created: str
    command: str
    size: int
    comment: str


def run(parsed: Parsed) -> int:
    """Print the steps that made an image, the last one first."""
    instead = "use `lamina imagetools inspect` for images in registries"
    with open_local_store(parsed, "show the history of images", instead) as store:
        document = store.inspect(parsed.arguments[0])
    form = chosen_format(parsed, "table", "json")
    entries = list(_entries(document))[::-1]
    whole = parsed.switch("no-trunc")
    if parsed.switch("quiet"):
        print_text("\n".join(entry.id for entry in entries))
    elif form == "json":
        print(json_lines(map(_document, entries)))
    elif is_template(form):
        from lamina.cli.format_template import Row, format_rows

        rows = [Row(_fields(entry, whole=whole), _document(entry)) for entry in entries]
        print_text(format_rows(form, _TITLES, rows))
    else:
        shown = [_fields(entry, whole=whole) for entry in entries]
        names = ("ID", "CreatedSince", "CreatedBy", "Size", "Comment")
        rows_ = [tuple(fields[name] for name in names) for fields in shown]
        print(table([_TITLES[name] for name in names], rows_))
    return 0


def _entries(document: Mapping[str, Any]) -> Iterator[HistoryEntry]:
    """The history of an image, of an index that of its first image."""
    if "images" in document:
        images = document["images"]
        document = images[0] if images else {"manifest": {}, "config": {}, "digest": ""}
    config = document.get("config") or {}
    layers = list(document["manifest"].get("layers") or ())
    image = str((document["manifest"].get("config") or {}).get("digest") or "")
    steps = config.get("history") or [{} for _ in layers]
    for number, step in enumerate(steps):
        layer = {} if step.get("empty_layer") or not layers else layers.pop(0)
        last = number == len(steps) - 1
        yield HistoryEntry(
            image.partition(":")[2][:12] if last else "<missing>",
            str(step.get("created") or ""),
            str(step.get("created_by") or ""),
            int(layer.get("size") or 0),
            str(step.get("comment") or ""),
        )


def _fields(entry: HistoryEntry, *, whole: bool) -> dict[str, str]:
    command = entry.command.replace("\n", " ")
    moment = parse_time(entry.created)
    return {
        "ID": entry.id,
        "CreatedSince": "" if moment is None else show_ago(time.time() - moment),
        "CreatedAt": entry.created,
        "CreatedBy": command if whole or len(command) <= _CUT else command[: _CUT - 1] + "…",
        "Size": show_size(entry.size),
        "Comment": entry.comment,
    }


def _document(entry: HistoryEntry) -> dict[str, object]:
    return {
        "ID": entry.id,
        "CreatedAt": entry.created,
        "CreatedBy": entry.command,
        "Size": entry.size,
        "Comment": entry.comment,
    }
