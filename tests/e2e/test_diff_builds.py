"""`lamina diff` of two builds: steps, times, inputs, outputs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Lamina

_TEXT = "FROM base\nARG V=1\nCOPY src /src\nRUN echo $V; cat /src/a\nRUN echo end\n"


def compared(lamina: Lamina, *args: str, code: int = 1) -> dict[str, Any]:
    done = lamina("diff", "--format=json", *args)
    assert done.code == code, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def changes(diff: dict[str, Any]) -> dict[str, str]:
    """The changes of steps by the steps' names, without the stages."""
    return {
        (step["after"] or step["before"])["name"].partition("] ")[2]: step["change"]
        for step in diff["steps"]
    }


def test_the_same_build_twice(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context(_TEXT, {"src/a": "1"})
    lamina.build(folder, "-t", "app")
    lamina.build(folder, "-t", "app")
    diff = compared(lamina, "^1", "^", code=0)
    assert diff["equal"]
    assert set(changes(diff).values()) == {"same"}
    assert all(step["before"]["ran"] and step["after"]["cached"] for step in diff["steps"])
    assert [output["change"] for output in diff["outputs"]] == ["same"]
    done = lamina("diff", "^1", "^")
    assert done.code == 0
    assert "Steps, inputs and outputs are the same." in done.out


def test_what_differs(lamina: Lamina, context: Callable[..., Path]) -> None:
    lamina.build(context(_TEXT, {"src/a": "1"}), "-t", "app:1")
    edited = _TEXT.replace("echo end", "echo fin") + "RUN echo more\n"
    folder = context(edited, {"src/a": "22", "src/b": ""})
    lamina.build(folder, "-t", "app:2", "--build-arg=V=2", "--label=x=y")
    diff = compared(lamina, "^1", "^")
    found = changes(diff)
    assert found["COPY src /src"] == found["RUN echo fin"] == "changed"
    assert found["RUN echo more"] == "added"
    assert list(found.values()).count("same") == 2
    assert {change["name"]: (change["before"], change["after"]) for change in diff["inputs"]} == {
        "build argument V": (None, "2"),
        "label x": (None, "y"),
        "text of the Dockerfile": (diff["inputs"][-1]["before"], diff["inputs"][-1]["after"]),
    }
    assert [(path["path"], path["change"]) for path in diff["files"]["paths"]] == [
        ("src/a", "changed"),
        ("src/b", "added"),
    ]
    [output] = diff["outputs"]
    assert output["change"] == "changed"
    assert output["before"]["digest"] != output["after"]["digest"]
    assert output["before"]["size"] > 0
    backwards = compared(lamina, "^", "^1")
    assert changes(backwards)["RUN echo more"] == "removed"
    text = lamina("diff", "^1", "^").out
    assert "  + build argument V: 2\n" in text
    assert "  ~ text of the Dockerfile: 2 lines added, 1 removed\n" in text
    assert "RUN echo fin — command changed, build argument V changed from 1 to 2, depends" in text
    assert "      - echo end\n      + echo fin\n" in text
    assert "Total time: " in text
    assert len(text.splitlines()) < 30


def test_builds_are_told_from_images_by_their_spelling(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    folder = context("FROM base\nRUN true\n")
    lamina.build(folder, "-t", "app")
    lamina.build(folder, "-t", "app")
    rows = lamina("history", "ls", "--format=json").out.splitlines()
    refs = [json.loads(row)["ref"] for row in rows]
    assert compared(lamina, refs[1], "^", code=0)["before"]["ref"] == refs[1]
    assert compared(lamina, "--type=build", refs[1][:8], refs[0], code=0)["after"]["ref"] == refs[0]
    assert "configuration" in compared(lamina, "app", "app", code=0)  # of images
    image = lamina("diff", "^", "app")
    assert image.code == 2
    assert 'no record of a build "app"' in image.err
    flag = lamina("diff", "--times", "^", "^")
    assert flag.code == 2
    assert "--times is for images" in flag.err


def test_a_build_that_failed(lamina: Lamina, context: Callable[..., Path]) -> None:
    lamina.build(context("FROM base\nRUN true\nRUN echo 1\n"))
    assert lamina("build", str(context("FROM base\nRUN true\nRUN exit 3\n"))).code == 1
    diff = compared(lamina, "^1", "^")
    assert diff["after"]["status"] == "error"
    assert changes(diff)["RUN exit 3"] == "changed"
    assert "→ failed" in lamina("diff", "^1", "^").out
