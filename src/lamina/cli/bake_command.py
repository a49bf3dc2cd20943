"""`lamina bake`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.cli.bake_definition import definition_of, overrides_of, selection_of
from lamina.cli.call import parse_call

if TYPE_CHECKING:
    from lamina.cli.flags import Parsed


def run(parsed: Parsed) -> int:
    """Read the definitions, and print, list, check or build what they define.

    Returns the exit status.
    """
    if parsed.text("list"):
        return _list(parsed)
    call = parse_call(parsed)
    method = "" if call is None else call.name.removeprefix("frontend.")
    definition = definition_of(parsed)
    overrides = overrides_of(parsed, definition, method)
    selection = selection_of(parsed, definition, overrides)
    if parsed.switch("print"):
        from lamina.bake.document import printed

        print(printed(selection))
        return 0
    from lamina.bake.selection import linked_targets
    from lamina.cli.bake_call import call_of, call_targets
    from lamina.cli.bake_privileges import check_privileges

    check_privileges(parsed.all("allow"), overrides, selection)
    calls = {
        name: wanted
        for name, target in selection.targets.items()
        if (wanted := call_of(target, call)) is not None
    }
    status = 0
    built = linked_targets(selection, [name for name in selection.targets if name not in calls])
    if built:
        from lamina.cli.bake_build import build_targets

        status = build_targets(parsed, selection._replace(targets=built))
    if calls and not status:
        status = call_targets(parsed, selection, calls)
    return status


def _list(parsed: Parsed) -> int:
    from lamina.cli.bake_list import listing, parse_list

    if parsed.switch("print"):
        raise InvalidInput("--print and --list cannot be combined")
    request = parse_list(parsed.text("list"))
    print(listing(definition_of(parsed), request))
    return 0
