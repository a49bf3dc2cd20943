"""`lamina history rm`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.cli.opening import open_history
from lamina.cli.tables import json_lines
from lamina.records.naming import find_record
from lamina.records.rows import RUNNING

if TYPE_CHECKING:
    from lamina.cli.flags import Parsed


def run(parsed: Parsed, names: list[str]) -> int:
    """Remove records, with `--all` those of all ended builds. Prints their IDs."""
    if bool(names) == parsed.switch("all"):
        raise InvalidInput("`lamina history rm` needs names of builds, or --all instead")
    output = parsed.text("format")
    if output not in ("", "json"):
        raise InvalidInput(f'unknown format "{output}"', hint="use json")
    with open_history(parsed) as history:
        rows = history.rows()
        if names:  # all names are resolved before anything is removed
            refs = list(dict.fromkeys(find_record(rows, name).ref for name in names))
        else:
            refs = [row.ref for row in rows if row.status != RUNNING]
        history.delete(refs)
    if refs:
        print(json_lines({"ref": ref} for ref in refs) if output else "\n".join(refs))
    return 0
