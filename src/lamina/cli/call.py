"""`--call` and `--check`: subrequests about a Dockerfile instead of a build."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from lamina.cli.flags import Parsed
    from lamina.client.contract import CallAnswer

_METHODS = {
    "check": "frontend.lint",
    "lint": "frontend.lint",
    "outline": "frontend.outline",
    "targets": "frontend.targets",
    "convertllb": "frontend.convertllb",
    "subrequests.describe": "frontend.subrequests.describe",
}
_HINT = "choose from build, check, outline, targets and convertllb; ,format=json may follow"
_BOOLS = {"1": True, "true": True, "0": False, "false": False}


class Call(NamedTuple):
    """The subrequest, whether to print JSON, and whether findings change the exit status."""

    name: str
    as_json: bool = False
    ignore_status: bool = False


def parse_call(parsed: Parsed) -> Call | None:
    """Parse `--call=method[,format=json][,ignorestatus=true]`; None for a build. Raises
    InvalidInput."""
    text = parsed.text("call", "build")
    if parsed.switch("check"):
        if parsed.given("call") and text.partition(",")[0] not in ("check", "lint"):
            raise InvalidInput(f"--check and --call={text} cannot be combined")
        text = text if parsed.given("call") else "check"
    return parse_method(text)


def parse_method(text: str) -> Call | None:
    """Parse the argument of `--call`; None for a build. Raises InvalidInput."""
    method, *fields = text.split(",")
    if method == "build" and not fields:
        return None
    if method not in _METHODS:
        raise InvalidInput(f'invalid argument "{text}" for --call', hint=_HINT)
    call = Call(_METHODS[method])
    for field in fields:
        key, _, value = field.partition("=")
        if key == "format" and value in ("json", "text"):
            call = call._replace(as_json=value == "json")
        elif key == "ignorestatus" and value.lower() in _BOOLS:
            call = call._replace(ignore_status=_BOOLS[value.lower()])
        else:
            raise InvalidInput(f'invalid field "{field}" in --call={text}', hint=_HINT)
    return call


def show_answer(call: Call, answer: CallAnswer) -> int:
    """Print the answer. Returns the exit status."""
    lint = call.name == "frontend.lint"
    finds = len(json.loads(answer.json)["warnings"] or ()) if lint else 0
    if call.as_json or answer.text is None:
        print(answer.json)
    else:
        if finds:
            plural = "warning has" if finds == 1 else "warnings have"
            print(f"Check complete, {finds} {plural} been found!")
        sys.stdout.write(answer.text.encode("utf-8", "replace").decode())
        if lint and not finds and not answer.error:
            print("Check complete, no warnings found.")
    if answer.error:
        sys.stdout.flush()
        apart = "\n" if finds and not call.as_json else ""
        print(f"{apart}ERROR: {answer.error}", file=sys.stderr)
        return 1
    return 0 if call.ignore_status else answer.status
