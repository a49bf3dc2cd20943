"""`lamina du` and `lamina prune`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.base.usage import UsageFilter
from lamina.cli.flags import suggestion
from lamina.cli.opening import open_builder
from lamina.cli.tables import chosen_format, is_template, json_lines, print_text, table
from lamina.cli.units import parse_duration, parse_size, show_ago, show_size, show_time
from lamina.client.contract import PruneRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lamina.base.usage import CacheRecord
    from lamina.cli.flags import Parsed

_TITLES = {
    "ID": "ID",
    "Type": "TYPE",
    "Description": "DESCRIPTION",
    "Parents": "PARENTS",
    "Reclaimable": "RECLAIMABLE",
    "Shared": "SHARED",
    "Size": "SIZE",
    "CreatedAt": "CREATED AT",
    "CreatedSince": "CREATED",
    "LastUsedAt": "LAST ACCESSED AT",
    "LastUsedSince": "LAST ACCESSED",
    "UsageCount": "USAGE COUNT",
}
_KEYS = ("until", "unused-for", "id", "type", "description", "inuse", "shared", "private")


def disk_usage(parsed: Parsed) -> int:
    """Print the matching records and their total sizes."""
    filters = parse_filters(parsed.all("filter"))
    form = chosen_format(parsed, "table", "json")
    with open_builder(parsed) as builder:
        records = builder.disk_usage(filters)
    if is_template(form):
        print_text(_by_template(form, records))
        return 0
    if form == "json":
        if records:
            print(json_lines(map(_document, records)))
        return 0
    if records:
        shown = show_verbosely(records) if parsed.switch("verbose") else show_records(records)
        print(shown + "\n")
    print(show_sums(records))
    return 0


def _by_template(template: str, records: Sequence[CacheRecord]) -> str:
    """Fields as in `docker buildx du --format`."""
    from lamina.cli.format_template import Row, format_rows

    now = time.time()
    rows = [
        Row(
            {
                "ID": record.id,
                "Type": record.type,
                "Description": record.description,
                "Parents": ";".join(record.parents),
                "Reclaimable": str(record.reclaimable).lower(),
                "Shared": str(record.shared).lower(),
                "Size": show_size(record.size) + ("*" if record.shared else ""),
                "CreatedAt": show_time(record.created),
                "CreatedSince": show_ago(now - record.created),
                "LastUsedAt": "" if record.last_used is None else show_time(record.last_used),
                "LastUsedSince": ""
                if record.last_used is None
                else show_ago(now - record.last_used),
                "UsageCount": str(record.usage_count),
            },
            _document(record),
        )
        for record in records
    ]
    return format_rows(template, _TITLES, rows)


def prune(parsed: Parsed) -> int:
    """Remove records and print them. Asks for confirmation without `--force`."""
    if parsed.given("keep-storage") and parsed.given("reserved-space"):
        raise InvalidInput(
            "--keep-storage and --reserved-space cannot be combined: they are the same"
        )
    keep = "keep-storage" if parsed.given("keep-storage") else "reserved-space"
    request = PruneRequest(
        filter=parse_filters(parsed.all("filter")),
        all=parsed.switch("all"),
        keep=_size(parsed, keep),
        max_used=_size(parsed, "max-used-space"),
        min_free=_size(parsed, "min-free-space"),
    )
    if not parsed.switch("force") and not _confirmed(request):
        return 0
    from lamina.cli.interrupt import interruptible

    with open_builder(parsed) as builder, interruptible() as interruption:
        outcome = builder.prune(request, interruption.cancel)
    if outcome.records:
        verbose = parsed.switch("verbose")
        print((show_verbosely if verbose else show_records)(outcome.records) + "\n")
    print(f"Total: {show_size(outcome.reclaimed)}")
    return 0


def parse_filters(texts: Iterable[str]) -> UsageFilter:
    """Parse `--filter`s: `key=value`, `key~=text` for descriptions, or a key alone for true.

    Raises InvalidInput.
    """
    filters = UsageFilter()
    for text in (part for given in texts for part in given.split(",")):
        key, equals, value = text.partition("=")
        contains = key.endswith("~")
        key = key.removesuffix("~").strip()
        if key not in _KEYS or (contains and key != "description"):
            raise InvalidInput(
                f'invalid filter "{text}"{suggestion(key, _KEYS)}',
                hint=f"supported filters are {', '.join(_KEYS)}",
            )
        if key in ("inuse", "shared", "private"):
            if value not in ("", "true", "false", "1", "0"):
                raise InvalidInput(f'invalid filter "{text}": {key} must be true or false')
            state = value not in ("false", "0")
            if key == "inuse":
                filters = filters._replace(reclaimable=not state)
            else:
                filters = filters._replace(shared=state if key == "shared" else not state)
        elif not equals or not value:
            raise InvalidInput(f'invalid filter "{text}": the value is missing')
        elif key == "id":
            filters = filters._replace(ids=(*filters.ids, value))
        elif key == "type":
            filters = filters._replace(types=(*filters.types, value))
        elif key == "description":
            filters = filters._replace(description=value)
        else:
            filters = filters._replace(unused_for=parse_duration(value, f"filter {key}"))
    return filters


def show_records(records: Sequence[CacheRecord]) -> str:
    """Print the table of `buildx du`: sizes of shared records end with a star."""
    now = time.time()
    rows = [
        (
            record.id,
            str(record.reclaimable).lower(),
            show_size(record.size) + ("*" if record.shared else ""),
            "" if record.last_used is None else show_ago(now - record.last_used),
        )
        for record in records
    ]
    return table(("ID", "RECLAIMABLE", "SIZE", "LAST ACCESSED"), rows)


def show_verbosely(records: Sequence[CacheRecord]) -> str:
    """Print all fields of each record, as a paragraph."""
    return "\n\n".join(_paragraph(record) for record in records)


def show_sums(records: Sequence[CacheRecord]) -> str:
    """Print the shared, private, reclaimable and total bytes."""
    total = sum(record.size for record in records)
    shared = sum(record.size for record in records if record.shared)
    reclaimable = sum(record.size for record in records if record.reclaimable)
    sums = [("Reclaimable", reclaimable), ("Total", total)]
    if shared:
        sums = [("Shared", shared), ("Private", total - shared), *sums]
    return "\n".join(f"{name + ':':<13}{show_size(size)}" for name, size in sums)


def _paragraph(record: CacheRecord) -> str:
    fields = [("ID", record.id)]
    if record.parents:
        fields.append(("Parents", ";".join(record.parents)))
    fields += [
        ("Created at", show_time(record.created)),
        ("Reclaimable", str(record.reclaimable).lower()),
        ("Shared", str(record.shared).lower()),
        ("Size", show_size(record.size)),
    ]
    if record.description:
        fields.append(("Description", record.description))
    fields.append(("Usage count", str(record.usage_count)))
    if record.last_used is not None:
        fields.append(("Last used", show_time(record.last_used)))
    fields.append(("Type", record.type))
    return "\n".join(f"{name + ':':<13}{value}" for name, value in fields)


def _document(record: CacheRecord) -> dict[str, object]:
    used = None if record.last_used is None else show_time(record.last_used)
    return {
        "ID": record.id,
        "Type": record.type,
        "Description": record.description,
        "Parents": list(record.parents),
        "Reclaimable": record.reclaimable,
        "Shared": record.shared,
        "Size": record.size,
        "CreatedAt": show_time(record.created),
        "LastUsedAt": used,
        "UsageCount": record.usage_count,
    }


def _size(parsed: Parsed, flag: str) -> int:
    return parse_size(parsed.text(flag), flag) if parsed.given(flag) else 0


def _confirmed(request: PruneRequest) -> bool:
    from lamina.cli.terminal import confirmed

    what = "all" if request.all else "all dangling"
    return confirmed(
        f"WARNING! This will remove {what} build cache. Are you sure you want to continue? [y/N] "
    )
