"""`lamina advise`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from lamina.advise.advice import Advice, Kind, apply_edits, patch
from lamina.advise.advisor import Improved, Request, advise, improve
from lamina.advise.context_files import read_context
from lamina.base.errors import InvalidInput
from lamina.cli.advise_files import read_files
from lamina.cli.advise_times import recorded_times
from lamina.cli.context import open_context
from lamina.cli.help import terminal_width, wrapped
from lamina.cli.opening import store_root
from lamina.cli.tables import json_lines
from lamina.cli.units import show_size
from lamina.cli.values import is_remote, parse_build_args

if TYPE_CHECKING:
    from lamina.cli.advise_files import Files
    from lamina.cli.flags import Parsed

_INDENT = "   "


def run(parsed: Parsed) -> int:
    """Print the advice. With `--apply` write the changes, with `--prove` measure them."""
    path = parsed.arguments[0] if parsed.arguments else "."
    if path == "-" or is_remote(path):
        raise InvalidInput(
            f'"{path}" is not a directory on this machine', hint="give the directory of the context"
        )
    with open_context(path, parsed.text("file"), (), sys.stdin.buffer) as context:
        files = read_files(context)
    if parsed.switch("apply") and not files.path:
        raise InvalidInput(
            "--apply needs a Dockerfile that can be written",
            hint="name a file with -f",
        )
    request = _request(parsed, files)
    items = advise(files.text, request)
    improved = improve(files.text, request)
    as_json = parsed.text("format") == "json"
    if as_json:
        documents = [_document(item, files) for item in items]
        if documents:
            print(json_lines(documents))
    else:
        for number, item in enumerate(items, 1):
            print(_text(number, item, files))
    if parsed.switch("prove") and improved.items:
        from lamina.cli.advise_proof import prove

        prove(parsed, files, request, improved, as_json=as_json)
    written = _write(files, improved) if parsed.switch("apply") else []
    if not as_json:
        print(_summary(parsed, improved.items if written else len(items), written))
    return 0


def _request(parsed: Parsed, files: Files) -> Request:
    ignore_name = os.path.relpath(files.ignore_path)
    data = files.ignore_text.encode("utf-8", "surrogateescape")
    kinds = tuple(Kind(name) for name in parsed.all("kind")) or tuple(Kind)
    return Request(
        files.name,
        read_context(files.folder, data, ignore_name),
        parsed.text("target"),
        tuple(parse_build_args(parsed.all("build-arg"), os.environ).items()),
        recorded_times(store_root(parsed), files),
        kinds,
    )


def _write(files: Files, improved: Improved) -> list[str]:
    """Write the changed files. Returns their names."""
    from lamina.cli.result_files import write_file

    written = []
    for path, before, after in (
        (files.path, files.text, improved.dockerfile),
        (files.ignore_path, files.ignore_text, improved.ignore_file),
    ):
        if before != after:
            write_file(path, after)
            written.append(os.path.relpath(path))
    return written


def _patch(item: Advice, files: Files) -> str:
    before = files.ignore_text if item.ignore_file else files.text
    name = os.path.relpath(files.ignore_path) if item.ignore_file else files.name
    return patch(before, apply_edits(before, item.edits), name)


def _document(item: Advice, files: Files) -> dict[str, object]:
    return {
        "Kind": str(item.kind),
        "File": os.path.relpath(files.ignore_path) if item.ignore_file else files.name,
        "Line": item.line,
        "Instruction": "" if item.ignore_file else item.subject,
        "Reason": item.reason,
        "Saving": {
            "What": item.saving.what,
            "When": item.saving.when,
            "Seconds": item.saving.seconds,
            "Bytes": item.saving.size,
        },
        "Patch": _patch(item, files),
    }


def _text(number: int, item: Advice, files: Files) -> str:
    place = item.subject if item.ignore_file else f"{files.name}:{item.line}"
    width = terminal_width() - len(_INDENT)
    texts = [] if item.ignore_file else [shortened(" ".join(item.subject.split()), width)]
    texts += wrapped(item.reason, width)
    texts += [saving] if (saving := _saving(item)) else []
    lines = [f"{number}. {place} ({item.kind})", *(f"{_INDENT}{text}" for text in texts)]
    return "\n".join((*lines, "", _patch(item, files)))


def _saving(item: Advice) -> str:
    what, when, seconds, size = item.saving
    if seconds is not None:
        return f"Saves up to {seconds:.1f} seconds {when}."
    if size is not None:
        return f"Saves {show_size(size)} {when}."
    return f"Saves {what} {when}." if what else ""


def _summary(parsed: Parsed, count: int, written: list[str]) -> str:
    if not count:
        return "No advice."
    items = f"{count} item{'s' if count > 1 else ''} of advice"
    if not parsed.switch("apply"):
        return f"{items}; `lamina advise --apply` writes the changes"
    return f"{items}, written to {' and '.join(written)}"


def shortened(text: str, width: int) -> str:
    """Truncate a text to `width` characters."""
    return text if len(text) <= width else f"{text[: width - 1]}…"
