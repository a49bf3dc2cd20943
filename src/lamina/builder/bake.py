"""`Builder.bake`: the requests of bake targets."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypedDict

from lamina.bake.definition import environment_allowed
from lamina.bake.entitlements import missing_privileges, parse_grants, with_overrides
from lamina.bake.overrides import parse_overrides
from lamina.base.errors import InvalidInput, PermissionDenied, Unsupported
from lamina.cli.bake_definition import read_bake_files, select_targets
from lamina.cli.bake_remote import BakeArguments
from lamina.cli.bake_request import target_request
from lamina.states.arguments import (
    CALLABLE,
    PAIRS,
    PATHS,
    SWITCH,
    TEXT,
    TEXTS,
    check_arguments,
    check_options,
    either,
    mapping_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import ExitStack

    from lamina.base.events import Event
    from lamina.client.contract import BuildRequest
    from lamina.states.arguments import Kind

_WORKING_DIRECTORY = "cwd://"
_SWITCHES = ("push", "load", "no_cache", "pull")


class BakeOptions(TypedDict, total=False):
    """The options of `bake`. They mean what the flags of `lamina bake` mean.

    files: bake files, by default those with a default name in the current directory.
    source: the URL of a git repository or of a bake file, in place of files here.
    context: `BAKE_CMD_CONTEXT`.
    variables: values of variables, by name.
    overrides: values of options, by `TARGET.OPTION` as in `--set`: `{"app.args.VERSION": "2",
        "*.platform": ["linux/amd64", "linux/arm64"]}`. `TARGET.OPTION+` adds to a list.
    allow: privileges to grant, such as `fs.read=/srv`.
    push, load, no_cache, pull: for all targets.
    on_event: gets the progress events of all targets, in the thread of the caller. Names of steps
        begin with their target.
    """

    files: Sequence[str | os.PathLike[str]]
    source: str
    context: str
    variables: Mapping[str, str]
    overrides: Mapping[str, str | Sequence[str]]
    allow: Sequence[str]
    push: bool
    load: bool
    no_cache: bool
    pull: bool
    on_event: Callable[[Event], object]


_KINDS: Mapping[str, Kind] = {
    "files": PATHS,
    **dict.fromkeys(("source", "context"), TEXT),
    "variables": PAIRS,
    "overrides": mapping_of(either(TEXT, TEXTS)),
    "allow": TEXTS,
    **dict.fromkeys(_SWITCHES, SWITCH),
    "on_event": CALLABLE,
}


def check_bake(targets: Sequence[object], options: BakeOptions) -> None:
    """Check the arguments of `Builder.bake`. Raises InvalidInput."""
    check_arguments("bake", {"targets": TEXTS}, targets=targets)
    check_options("bake", _KINDS, options)


def bake_requests(
    targets: Sequence[str], options: BakeOptions, owned: ExitStack
) -> dict[str, BuildRequest]:
    """The requests of targets, by name. Downloaded files belong to `owned`.

    Raises InvalidInput, NotFound, PermissionDenied, Unsupported, Unavailable.
    """
    arguments = BakeArguments(
        options.get("source", ""),
        options.get("context", "") or _WORKING_DIRECTORY,
        tuple(targets) or ("default",),
    )
    files = [os.fspath(file) for file in options.get("files", ())]
    definition = read_bake_files(arguments, files, options.get("variables", {}))
    overrides = parse_overrides(
        definition, list(_overrides(options)), environment_allowed(os.environ)
    )
    selection = select_targets(arguments, definition, overrides)
    grants = with_overrides(parse_grants(options.get("allow", ())), overrides)
    if missing := missing_privileges(selection.targets.values(), grants, os.environ):
        permits = ", ".join(privilege.permits for privilege in missing)
        listed = ", ".join(f'"{privilege.entitlement}"' for privilege in missing)
        raise PermissionDenied(
            f"the bake files request privileges that are not granted: {permits}",
            hint=f"grant them: allow=[{listed}]",
        )
    requests = {}
    for name, target in sorted(selection.targets.items()):
        if target.call not in (None, "", "build"):
            raise Unsupported(f"target {name} is a call, not a build", hint="use `lamina bake`")
        requests[name] = owned.enter_context(target_request(target))
        for output in requests[name].outputs:
            if dict(output.attributes).get("dest") == "-":
                raise InvalidInput(
                    f"target {name}: type={output.type} needs a dest",
                    hint="name a file: dest=image.tar",
                )
    return requests


def _overrides(options: BakeOptions) -> Sequence[str]:
    """The overrides as texts of `--set`."""
    given = [
        f"{key}={text}"
        for key, value in options.get("overrides", {}).items()
        for text in ((value,) if isinstance(value, str) else value)
    ]
    switches = [
        f"*.{name.replace('_', '-')}={'true' if value else 'false'}"
        for name, value in options.items()
        if name in _SWITCHES
    ]
    return [*given, *switches]
