"""`lamina history export` and `lamina history import`."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from lamina.base.errors import InvalidInput, Unsupported, from_os_error
from lamina.cli.opening import builder_address, store_root
from lamina.records.bundle import export_bundle, import_bundle
from lamina.records.naming import find_record
from lamina.records.recovery import recover
from lamina.records.table import RUNNING, RecordTable
from lamina.stores.store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.cli.flags import Parsed
    from lamina.stores.store import Store


def export(parsed: Parsed, names: list[str]) -> int:
    """Write records to a bundle: the latest, the named ones, or with `--all` all."""
    if names and parsed.switch("all"):
        raise InvalidInput("`lamina history export` takes names of builds or --all, not both")
    path = parsed.text("output", "-")
    if path == "-" and sys.stdout.isatty():
        raise InvalidInput(
            "a bundle is not written to a terminal", hint="use -o FILE, or redirect the output"
        )
    with _opened(parsed, "export") as (store, table):
        rows = table.rows()
        if parsed.switch("all"):
            refs = [row.ref for row in rows if row.status != RUNNING]
        else:
            refs = list(dict.fromkeys(find_record(rows, name).ref for name in names or [""]))
        if not refs:
            find_record([], "")
        if path == "-":
            export_bundle(store, table, refs, sys.stdout.buffer)
            return 0
        try:
            with open(path, "wb") as file:
                export_bundle(store, table, refs, file)
        except OSError as error:
            raise from_os_error(error, "write the bundle") from error
    return 0


def import_(parsed: Parsed, names: list[str]) -> int:
    """Import records from bundles; without `--file` from standard input. Prints their IDs."""
    with _opened(parsed, "import") as (store, table):
        for path in parsed.all("file") or ["-"]:
            if path == "-":
                refs = import_bundle(store, table, sys.stdin.buffer)
            else:
                with _file(path) as file:
                    refs = import_bundle(store, table, file)
            for ref in refs:
                print(ref)
    return 0


@contextmanager
def _opened(parsed: Parsed, doing: str) -> Iterator[tuple[Store, RecordTable]]:
    address = builder_address(parsed)
    if address:
        raise Unsupported(
            f"records of the daemon at {address} cannot be {doing}ed from here: its API does not"
            " give the manifests of contents",
            hint="use its store on its machine: --root DIR",
        )
    with open_store(store_root(parsed)) as store:
        table = RecordTable(store)
        recover(store, table)
        yield store, table


def _file(path: str) -> IO[bytes]:
    try:
        return open(path, "rb")
    except OSError as error:
        raise from_os_error(error, "read the bundle") from error
