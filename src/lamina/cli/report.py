"""`lamina build --report` and `lamina history export --html`: a build as an HTML file."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.base.errors import LaminaError
from lamina.cli.opening import open_history
from lamina.cli.result_files import check_folder, write_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.cli.flags import Parsed
    from lamina.client.build_history import BuildHistory


@contextmanager
def reported(parsed: Parsed) -> Iterator[str]:
    """Write the report of `--report` after the build in the block, also if it fails.

    Yields the ID that the build must have, "" without the flag. If the build and the report fail,
    only the error of the build is raised.
    """
    path = parsed.text("report")
    if not path:
        yield ""
        return
    check_folder(path, "report")
    ref = os.urandom(16).hex()
    try:
        yield ref
    except BaseException:
        try:
            _write(parsed, ref, path)
        except LaminaError as error:
            print(f"WARNING: the report was not written: {error.reason}", file=sys.stderr)
        raise
    _write(parsed, ref, path)


def write_report(history: BuildHistory, ref: str, path: str) -> None:
    """Write the report of a build to a file, `-` for standard output."""
    from lamina.ui.report import make_report

    report = make_report(history, history.record(ref))
    if path == "-":
        print(report, end="")
    else:
        write_file(path, report)


def _write(parsed: Parsed, ref: str, path: str) -> None:
    with open_history(parsed) as history:
        write_report(history, ref, path)
