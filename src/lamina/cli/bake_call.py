"""`lamina bake --call` and `--check`: subrequests about the Dockerfiles of targets."""

from __future__ import annotations

import json
import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

from lamina.bake.document import group_document, target_document
from lamina.base.errors import Cancelled, LaminaError
from lamina.base.gojson import encode_indented
from lamina.cli.bake_request import target_request
from lamina.cli.build_command import progress_mode
from lamina.cli.call import Call, parse_method, show_answer
from lamina.cli.interrupt import interruptible
from lamina.cli.opening import builder_address, open_builder
from lamina.cli.progress.choose import open_display
from lamina.client.contract import CallAnswer, NamedContext
from lamina.client.merged_events import MergedEvents

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.bake.selection import Selection
    from lamina.bake.target import Target
    from lamina.cli.flags import Parsed
    from lamina.client.contract import BuildRequest

_STDERR = 2
_SHOWN = {"lint": "check"}


def call_of(target: Target, given: Call | None) -> Call | None:
    """The call for a target, None if it is built. The flag decides how it is printed."""
    own = None if target.call is None else parse_method(target.call)
    return own if own is None or given is None else given._replace(name=own.name)


def call_targets(parsed: Parsed, selection: Selection, calls: Mapping[str, Call]) -> int:
    """Ask about each target of `calls`, and print the answers. Returns the exit status."""
    mode = progress_mode(parsed)
    answers: dict[str, CallAnswer | LaminaError] = {}
    fetched = not builder_address(parsed)
    with open_builder(parsed) as builder, interruptible(builder.hurry) as interruption:
        try:
            with closing(open_display(mode, _STDERR, os.environ)) as display:
                events = MergedEvents(display)
                for name, call in sorted(calls.items()):
                    target = selection.targets[name]
                    with target_request(target, fetched=fetched) as request:
                        try:
                            answers[name] = builder.call(
                                call.name,
                                _unlinked(request),
                                events.of(name),
                                interruption.cancel,
                            )
                        except Cancelled:
                            raise
                        except LaminaError as error:
                            answers[name] = error
        except Cancelled as error:
            return interruption.exit_status(error)
    if any(call.as_json for call in calls.values()):
        return _print_json(selection, calls, answers)
    return _print_text(selection, calls, answers)


def _unlinked(request: BuildRequest) -> BuildRequest:
    """Without the targets that are contexts: nothing is built, so only their names matter."""
    named = tuple(
        NamedContext(c.name, "docker-image", "scratch") if c.kind == "target" else c
        for c in request.context.named
    )
    return request._replace(context=request.context._replace(named=named))


def _print_text(
    selection: Selection,
    calls: Mapping[str, Call],
    answers: Mapping[str, CallAnswer | LaminaError],
) -> int:
    status = 0
    for index, (name, answer) in enumerate(answers.items()):
        if index:
            print()
        print(name)
        if description := selection.targets[name].description:
            print(description)
        print(flush=True)
        if isinstance(answer, LaminaError):
            from lamina.cli.errors import report

            report(answer)
            status = 1
            continue
        sys.stdout.flush()
        found = show_answer(calls[name], answer)
        status = status or found
    return status


def _print_json(
    selection: Selection,
    calls: Mapping[str, Call],
    answers: Mapping[str, CallAnswer | LaminaError],
) -> int:
    status = 0
    targets: dict[str, Any] = {}
    for name, target in sorted(selection.targets.items()):
        targets[name] = {"build": target_document(target)}
        if (answer := answers.get(name)) is None:
            continue
        method = calls[name].name.removeprefix("frontend.")
        result: dict[str, Any] = {}
        if isinstance(answer, LaminaError):
            result["error"] = answer.reason
            status = 1
        else:
            result = dict(sorted(json.loads(answer.json).items()))
            if not calls[name].ignore_status:
                status = status or answer.status or (1 if answer.error else 0)
        targets[name][_SHOWN.get(method, method)] = result
    groups = {name: group_document(group) for name, group in sorted(selection.groups.items())}
    document = {**({"group": groups} if groups else {}), "target": targets}
    print(encode_indented(document).decode())
    return status
