"""`lamina history`: dispatches an action, and imports only its module."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple
from lamina.cli.flags import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.cli.flags import Parsed

    Handler = Callable[[Parsed, list[str]], int]


class _Action(NamedTuple):
    """An action. `handler` is `module:function` in this package; `most` is the maximum number of
    names."""

    handler: str
    flags: frozenset[str]
    most: int | None


_ANY = frozenset(
    ("builder", "debug", "root", "tlscacert", "tlscert", "tlsdir", "tlskey", "tlsservername")
)
_ATTACHMENT = "inspect attachment"
_ACTIONS = {
    "ls": _Action("ls:run", frozenset(("filter", "format", "local", "no-trunc")), 0),
    "inspect": _Action("inspect:run", frozenset(("format",)), 1),
    _ATTACHMENT: _Action("attachments:run", frozenset(("platform", "type")), 2),
    "logs": _Action("logs:run", frozenset(("format", "progress", "step")), 1),
    "timeline": _Action("timeline:run", frozenset(), 1),
    "trace": _Action("trace:run", frozenset(("format", "output")), 1),
    "export": _Action("transfer:export", frozenset(("all", "html", "output")), None),
    "import": _Action("transfer:import_", frozenset(("file",)), 0),
    "rm": _Action("rm:run", frozenset(("all", "format")), None),
}


def run(parsed: Parsed) -> int:
    """Run the action in the first argument."""
    name, *names = parsed.arguments
    if name == "inspect" and names[:1] == ["attachment"]:
        name, names = _ATTACHMENT, names[1:]
    action = _ACTIONS.get(name)
    if action is None and not names:
        return _of_image(parsed)
    if action is None:
        raise InvalidInput(
            f'unknown command "history {name}"{suggestion(name, _ACTIONS)}',
            hint=f"use {', '.join(_ACTIONS)}",
        )
    for flag in parsed.command.flags:
        if parsed.given(flag.name) and flag.name not in _ANY | action.flags:
            raise InvalidInput(f"`lamina history {name}` has no flag --{flag.name}")
    if action.most is not None and len(names) > action.most:
        wanted = f"at most {action.most} build" if action.most else "no arguments"
        if name == _ATTACHMENT:
            wanted = "at most a build and a digest"
        raise InvalidInput(f"`lamina history {name}` takes {wanted}, not {len(names)}")
    module, _, function = action.handler.partition(":")
    handler: Handler = getattr(import_module(f"lamina.cli.history.{module}"), function)
    return handler(parsed, names)


def logs(parsed: Parsed) -> int:
    """`lamina logs [BUILD]`, which is also `lamina history logs`."""
    from lamina.cli.history.logs import run as show

    return show(parsed, parsed.arguments)


def _of_image(parsed: Parsed) -> int:
    """`lamina history IMAGE`, as docker has it. Raises InvalidInput for what is no image."""
    from lamina.base.errors import NotFound
    from lamina.cli.image_history import run as show

    name = parsed.arguments[0]
    try:
        return show(parsed)
    except NotFound as error:
        raise InvalidInput(
            f'"{name}" is neither a command of history{suggestion(name, _ACTIONS)} nor an image',
            hint=f"use {', '.join(_ACTIONS)}, or the name of an image",
        ) from error
