"""`lamina cache`: manages cache mounts."""

from __future__ import annotations

import os
import time
from contextlib import closing
from typing import TYPE_CHECKING

from lamina.base.errors import Cancelled, InvalidInput
from lamina.cli.build_command import progress_mode
from lamina.cli.interrupt import interruptible
from lamina.cli.opening import open_local_store
from lamina.cli.progress.choose import open_display
from lamina.cli.tables import chosen_format, is_template, json_lines, print_text, table
from lamina.cli.units import show_ago, show_size, show_time
from lamina.cli.values import parse_cache

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.base.events import EventSink
    from lamina.cli.flags import Parsed
    from lamina.client.contract import LocalStore, MountSummary
    from lamina.system.cancel import Cancellation

_STDERR = 2
_DISK_USAGE = "use `lamina du --filter type=exec.cachemount`"
_PRUNE = "use `lamina prune --filter type=exec.cachemount`"
_CACHE_TO = "build with --cache-to type=registry,…,mounts=true"
_CACHE_FROM = "build with --cache-from type=registry,…,mounts=true"
_TITLES = {
    "Name": "NAME",
    "Size": "SIZE",
    "CreatedAt": "CREATED AT",
    "LastUsedAt": "LAST USED AT",
    "LastUsedSince": "LAST USED",
    "UsageCount": "USES",
    "From": "FROM",
}


def run(parsed: Parsed) -> int:
    """Run the action in the first argument."""
    action, *names = parsed.arguments
    match action:
        case "ls":
            return _list(parsed, names)
        case "export":
            return _export(parsed, names)
        case "import":
            return _import(parsed, names)
        case "rm":
            return _remove(parsed, names)
    raise InvalidInput(f'unknown command "cache {action}"', hint="use ls, export, import or rm")


def _list(parsed: Parsed, names: Sequence[str]) -> int:
    with open_local_store(parsed, "list cache mounts", _DISK_USAGE) as store:
        mounts = store.cache_mounts()
    if names:
        wanted = {name.lstrip("/") for name in names}
        mounts = [mount for mount in mounts if mount.name in wanted]
    match chosen_format(parsed, "table", "json", "names"):
        case template if is_template(template):
            print_text(_by_template(template, mounts))
        case "json":
            if mounts:
                print(json_lines(map(_document, mounts)))
        case "names":
            for mount in mounts:
                print(mount.name)
        case _:
            print(_table(mounts))
    return 0


def _export(parsed: Parsed, names: Sequence[str]) -> int:
    if not parsed.given("to"):
        raise InvalidInput(
            "`lamina cache export` needs --to", hint="for example --to type=registry,ref=host/app"
        )
    cache = parse_cache(parsed.text("to"), "to")
    sent: dict[str, int] = {}

    def work(store: LocalStore, events: EventSink, cancel: Cancellation) -> None:
        sent.update(store.export_cache_mounts(names, cache, events, cancel))

    status = _watched(parsed, work, "export cache mounts", _CACHE_TO)
    for name, new in sent.items():
        print(f"{name}: {show_size(new)} new")
    return status


def _import(parsed: Parsed, names: Sequence[str]) -> int:
    if not parsed.given("from") or not names:
        raise InvalidInput(
            "`lamina cache import` needs names and --from",
            hint="for example lamina cache import go-build --from type=registry,ref=host/app",
        )
    cache = parse_cache(parsed.text("from"), "from")

    def work(store: LocalStore, events: EventSink, cancel: Cancellation) -> None:
        store.import_cache_mounts(names, cache, events, cancel)

    return _watched(parsed, work, "import cache mounts", _CACHE_FROM)


def _remove(parsed: Parsed, names: Sequence[str]) -> int:
    if bool(names) == parsed.switch("all"):
        raise InvalidInput("`lamina cache rm` needs names, or --all instead")
    opened = open_local_store(parsed, "remove cache mounts", _PRUNE)
    with opened as store, interruptible() as interruption:
        for name in store.remove_cache_mounts(names, interruption.cancel):
            print(name)
    return 0


def _watched(
    parsed: Parsed,
    work: Callable[[LocalStore, EventSink, Cancellation], None],
    doing: str,
    instead: str,
) -> int:
    with open_local_store(parsed, doing, instead) as store, interruptible() as interruption:
        try:
            with closing(open_display(progress_mode(parsed), _STDERR, os.environ)) as display:
                work(store, display, interruption.cancel)
        except Cancelled as error:
            return interruption.exit_status(error)
    return 0


def _table(mounts: Sequence[MountSummary]) -> str:
    now = time.time()
    rows = [
        (
            mount.name,
            show_size(mount.size),
            show_ago(now - mount.last_used),
            str(mount.usage_count),
            mount.came_from or "here",
        )
        for mount in mounts
    ]
    return table(("NAME", "SIZE", "LAST USED", "USES", "FROM"), rows)


def _by_template(template: str, mounts: Sequence[MountSummary]) -> str:
    from lamina.cli.format_template import Row, format_rows

    now = time.time()
    rows = [
        Row(
            {
                "Name": mount.name,
                "Size": show_size(mount.size),
                "CreatedAt": show_time(mount.created),
                "LastUsedAt": show_time(mount.last_used),
                "LastUsedSince": show_ago(now - mount.last_used),
                "UsageCount": str(mount.usage_count),
                "From": mount.came_from or "here",
            },
            _document(mount),
        )
        for mount in mounts
    ]
    return format_rows(template, _TITLES, rows)


def _document(mount: MountSummary) -> dict[str, object]:
    return {
        "Name": mount.name,
        "Size": mount.size,
        "CreatedAt": show_time(mount.created),
        "LastUsedAt": show_time(mount.last_used),
        "UsageCount": mount.usage_count,
        "From": mount.came_from,
    }
