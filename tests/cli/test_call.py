"""`--call` and `--check`: the subrequest, the output, the exit status."""

from __future__ import annotations

import json

import pytest

from lamina.base.errors import InvalidInput
from lamina.cli.call import Call, parse_call, show_answer
from lamina.cli.commands import COMMANDS
from lamina.cli.flags import parse
from lamina.client.contract import CallAnswer


def call(*args: str) -> Call | None:
    return parse_call(parse(COMMANDS["build"], [*args, "."]))


def test_methods() -> None:
    assert call("--call=build") is None
    assert call("--check=false") is None
    assert call("--check") == call("--call=check") == call("--call", "lint")
    assert call("--check", "--call=check,format=json") == Call("frontend.lint", as_json=True)
    assert call("--call=outline") == Call("frontend.outline")
    assert call("--call=targets,format=json") == Call("frontend.targets", as_json=True)
    assert call("--call=check,ignorestatus=true") == Call("frontend.lint", ignore_status=True)


@pytest.mark.parametrize(
    "text", ["what", "check,format=xml", "outline,what=1", "build,format=json"]
)
def test_unknown_methods(text: str) -> None:
    with pytest.raises(InvalidInput):
        call(f"--call={text}")


def test_check_and_another_call() -> None:
    with pytest.raises(InvalidInput, match="cannot be combined"):
        call("--check", "--call=outline")


def lint(finds: int, error: str = "") -> CallAnswer:
    document = json.dumps({"warnings": [{}] * finds or None})
    return CallAnswer(document, "\nWARNING: x\n" * finds, int(bool(finds or error)), error)


def test_finds(capsys: pytest.CaptureFixture[str]) -> None:
    asked = Call("frontend.lint")
    assert show_answer(asked, lint(1)) == 1
    assert capsys.readouterr().out == "Check complete, 1 warning has been found!\n\nWARNING: x\n"
    assert show_answer(asked._replace(ignore_status=True), lint(2)) == 0
    assert capsys.readouterr().out.startswith("Check complete, 2 warnings have been found!\n")
    assert show_answer(asked, lint(0)) == 0
    assert capsys.readouterr().out == "Check complete, no warnings found.\n"


def test_warnings_and_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert show_answer(Call("frontend.lint"), lint(1, "bad\nDockerfile:1")) == 1
    shown = capsys.readouterr()
    assert shown.err == "\nERROR: bad\nDockerfile:1\n"
    assert show_answer(Call("frontend.lint", as_json=True), lint(0, "bad")) == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"warnings": None}
    assert shown.err == "ERROR: bad\n"


def test_other_answers(capsys: pytest.CaptureFixture[str]) -> None:
    answer = CallAnswer("{}", "TARGET\n")
    assert show_answer(Call("frontend.targets"), answer) == 0
    assert capsys.readouterr().out == "TARGET\n"
    assert show_answer(Call("frontend.targets", as_json=True), answer) == 0
    assert capsys.readouterr().out == "{}\n"
