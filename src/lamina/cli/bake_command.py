"""`lamina bake`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, Unsupported
from lamina.cli.bake_definition import definition_of, selection_of

if TYPE_CHECKING:
    from lamina.cli.flags import Parsed


def run(parsed: Parsed) -> int:
    """Read the definitions, and print, list or build their targets. Returns the exit status."""
    if parsed.text("list"):
        return _list(parsed)
    definition = definition_of(parsed)
    selection = selection_of(parsed, definition, "")
    if parsed.switch("print"):
        from lamina.bake.document import printed

        print(printed(selection))
        return 0
    raise Unsupported("lamina bake does not build yet", hint="--print shows the targets")


def _list(parsed: Parsed) -> int:
    from lamina.cli.bake_list import listing, parse_list

    if parsed.switch("print"):
        raise InvalidInput("--print and --list cannot be combined")
    request = parse_list(parsed.text("list"))
    print(listing(definition_of(parsed), request))
    return 0
