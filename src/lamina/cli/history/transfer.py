"""`lamina history export` and `lamina history import`."""

from __future__ import annotations

import sys
from typing import IO, TYPE_CHECKING

from lamina.base.errors import InvalidInput, from_os_error
from lamina.cli.opening import open_history
from lamina.cli.report import write_report
from lamina.records.bundle import export_bundle
from lamina.records.naming import find_record
from lamina.records.rows import RUNNING

if TYPE_CHECKING:
    from lamina.cli.flags import Parsed


def export(parsed: Parsed, names: list[str]) -> int:
    """Write records to a bundle: the latest, the named ones, or with `--all` all."""
    if names and parsed.switch("all"):
        raise InvalidInput("`lamina history export` takes names of builds or --all, not both")
    if parsed.given("html"):
        return _export_report(parsed, names)
    path = parsed.text("output", "-")
    if path == "-" and sys.stdout.isatty():
        raise InvalidInput(
            "a bundle is not written to a terminal", hint="use -o FILE, or redirect the output"
        )
    with open_history(parsed) as history:
        rows = history.rows()
        if parsed.switch("all"):
            refs = [row.ref for row in rows if row.status != RUNNING]
        else:
            refs = list(dict.fromkeys(find_record(rows, name).ref for name in names or [""]))
        if not refs:
            find_record([], "")
        if path == "-":
            export_bundle(history, refs, sys.stdout.buffer)
            return 0
        try:
            with open(path, "wb") as file:
                export_bundle(history, refs, file)
        except OSError as error:
            raise from_os_error(error, "write the bundle") from error
    return 0


def _export_report(parsed: Parsed, names: list[str]) -> int:
    if parsed.switch("all") or parsed.given("output") or len(names) > 1:
        raise InvalidInput("`lamina history export --html FILE` takes one build, and no other flag")
    with open_history(parsed) as history:
        row = find_record(history.rows(), names[0] if names else "")
        if row.status == RUNNING:
            raise InvalidInput(f"build {row.ref} is running", hint="wait until it ends")
        write_report(history, row.ref, parsed.text("html"))
    return 0


def import_(parsed: Parsed, names: list[str]) -> int:
    """Import records from bundles; without `--file` from standard input. Prints their IDs."""
    with open_history(parsed) as history:
        for path in parsed.all("file") or ["-"]:
            if path == "-":
                refs = history.import_bundle(sys.stdin.buffer)
            else:
                with _file(path) as file:
                    refs = history.import_bundle(file)
            for ref in refs:
                print(ref)
    return 0


def _file(path: str) -> IO[bytes]:
    try:
        return open(path, "rb")
    except OSError as error:
        raise from_os_error(error, "read the bundle") from error
