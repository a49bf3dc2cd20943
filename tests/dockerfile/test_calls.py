"""Subrequests about a Dockerfile: the documents and the texts."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from lamina.base.errors import InvalidInput, Unsupported
from lamina.dockerfile.calls import answer
from lamina.dockerfile.contract import FrontendRequest
from lamina.dockerfile.options import FrontendOptions
from tests.dockerfile.memory_bridge import AMD64, MemoryBridge, image_config

if TYPE_CHECKING:
    from lamina.dockerfile.calls import Answer

_TEXT = """# VERSION of the base
ARG VERSION=1
ARG UNUSED=x
ARG FULL=base${VERSION}

# build compiles
FROM base AS build
# MODE is debug or release
ARG MODE=release EMPTY
RUN --mount=type=secret,id=token,required --mount=type=cache,target=/go \\
    --mount=type=ssh make

# final is what runs
FROM --platform=$BUILDPLATFORM ${FULL} AS final
ARG VERSION
RUN --mount=type=secret,id=other true
COPY --from=build /x /x
"""


def ask(name: str, text: str, target: str = "", **args: str) -> Answer:
    bridge = MemoryBridge(text, dict.fromkeys(("base1", "base2"), image_config()), None)
    options = FrontendOptions(target=target, build_args=tuple(args.items()))
    request = FrontendRequest(options, AMD64, AMD64)
    return answer(name, request, bridge)


def lines(first: int, last: int = 0) -> dict[str, Any]:
    return {
        "ranges": [
            {"start": {"line": line}, "end": {"line": line}}
            for line in range(first, max(first, last) + 1)
        ]
    }


def base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def test_targets() -> None:
    text = "FROM $X\n# a is first\nFROM --platform=$BUILDPLATFORM base AS a\nFROM a\n"
    made = ask("frontend.targets", text)
    assert json.loads(made.json) == {
        "targets": [
            {"base": "$X", "location": lines(1)},
            {
                "name": "a",
                "description": "is first",
                "base": "base",
                "platform": "$BUILDPLATFORM",
                "location": lines(3),
            },
            {"default": True, "base": "a", "location": lines(4)},
        ],
        "sources": [base64(text)],
    }
    assert made.text == "TARGET    DESCRIPTION\n          \na         is first\n(default) \n"


def test_outline() -> None:
    made = ask("frontend.outline", _TEXT, VERSION="2", EMPTY="full")
    assert json.loads(made.json) == {
        "name": "final",
        "description": "is what runs",
        "args": [
            {"name": "FULL", "value": "base2", "location": lines(4)},
            {
                "name": "MODE",
                "description": "is debug or release",
                "value": "release",
                "location": lines(9),
            },
            {"name": "EMPTY", "value": "full", "location": lines(9)},
            {"name": "VERSION", "value": "2", "location": lines(15)},
        ],
        "secrets": [
            {"name": "token", "required": True, "location": lines(10, 11)},
            {"name": "other", "location": lines(16)},
        ],
        "ssh": [{"name": "default", "location": lines(10, 11)}],
        "cache": [{"ID": "/go", "location": lines(10, 11)}],
        "sources": [base64(_TEXT)],
    }


def test_outline_of_another_target_and_inherited_arguments() -> None:
    made = json.loads(ask("frontend.outline", _TEXT, "build").json)
    assert [arg["name"] for arg in made["args"]] == ["MODE", "EMPTY"]
    made = json.loads(ask("frontend.outline", _TEXT).json)
    # Variables that FULL needs are used too; the ARG of the stage only passes it on.
    assert [
        (a["name"], a["value"], a["location"]["ranges"][0]["start"]["line"])
        for a in made["args"]
        if a.get("value")
    ] == [("VERSION", "1", 2), ("FULL", "base1", 4), ("MODE", "release", 9)]


def test_outline_for_people() -> None:
    text = ask("frontend.outline", _TEXT).text
    assert text is not None
    assert text.split("\n") == [
        "TARGET:      final",
        "DESCRIPTION: is what runs",
        "",
        "BUILD ARG   VALUE     DESCRIPTION",
        "VERSION     1         of the base",
        "FULL        base1     ",
        "MODE        release   is debug or release",
        "EMPTY                 ",
        "",
        "SECRET   REQUIRED",
        "token    true",
        "other    ",
        "",
        "SSH       REQUIRED",
        "default   ",
        "",
        "",
    ]


def test_lint() -> None:
    text = "FROM base AS A\nRUN x\nCMD \\\n  a\n"
    made = ask("frontend.lint", text)
    document = json.loads(made.json)
    assert made.status == 1
    assert document["sources"] == [
        {"filename": "Dockerfile", "data": base64(text), "language": "Dockerfile"}
    ]
    assert "buildError" not in document
    assert document["warnings"][1] == {
        "ruleName": "JSONArgsRecommended",
        "description": "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended "
        "behavior related to OS signals",
        "url": "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/",
        "detail": "JSON arguments recommended for CMD to prevent unintended behavior related to "
        "OS signals",
        "location": lines(3, 4),
    }
    assert made.text == (
        "\nWARNING: StageNameCasing - https://docs.docker.com/go/dockerfile/rule/stage-name-casing/\n"
        "Stage name 'A' should be lowercase\n"
        "Dockerfile:1\n--------------------\n"
        "   1 | >>> FROM base AS A\n   2 |     RUN x\n   3 |     CMD \\\n"
        "--------------------\n"
        "\nWARNING: JSONArgsRecommended - https://docs.docker.com/go/dockerfile/rule/json-args-recommended/\n"
        "JSON arguments recommended for CMD to prevent unintended behavior related to OS signals\n"
        "Dockerfile:3\n--------------------\n"
        "   2 |     RUN x\n   3 | >>> CMD \\\n   4 | >>>   a\n   5 |     \n"
        "--------------------\n"
    )


def test_lint_of_all_stages_or_of_the_target() -> None:
    text = 'FROM base AS a\nCMD a\nFROM base AS b\nCMD b\nFROM base AS c\nCMD ["c"]\n'
    assert len(json.loads(ask("frontend.lint", text).json)["warnings"]) == 2
    assert len(json.loads(ask("frontend.lint", text, "b").json)["warnings"]) == 1
    clean = ask("frontend.lint", text, "c")
    assert json.loads(clean.json)["warnings"] is None
    assert (clean.status, clean.text, clean.error) == (0, "", "")


def test_lint_of_an_invalid_dockerfile() -> None:
    made = ask("frontend.lint", "FROM base AS A\nRUM x\n")
    error = json.loads(made.json)["buildError"]
    assert error == {
        "message": "dockerfile parse error on line 2: unknown instruction: RUM (did you mean RUN?)",
        "location": lines(2),
    }
    assert made.error.startswith("unknown instruction: RUM\nhint: did you mean RUN?\nDockerfile:2")
    assert json.loads(made.json)["warnings"][0]["ruleName"] == "StageNameCasing"
    assert made.status == 1


def test_lint_with_warnings_as_errors() -> None:
    made = ask("frontend.lint", "# check=error=true\nFROM base AS A\n")
    error = json.loads(made.json)["buildError"]
    assert error["message"].startswith("lint violation found for rules: StageNameCasing")
    assert error["location"] == {}


def test_an_outline_of_an_invalid_dockerfile() -> None:
    with pytest.raises(InvalidInput):
        ask("frontend.outline", "FROM base\nRUM x\n")


def test_unknown_subrequests_are_refused_and_known_ones_are_listed() -> None:
    with pytest.raises(Unsupported, match=r"frontend\.what"):
        ask("frontend.what", "FROM base\n")
    names = [r["name"] for r in json.loads(ask("frontend.subrequests.describe", "").json)]
    assert "frontend.lint" in names


def test_conversion() -> None:
    made = ask(
        "frontend.convertllb",
        "FROM base1\nRUN --mount=type=cache,target=/c,id=q --network=none true\n"
        "COPY --from=base2 --chown=0:5 --chmod=600 /f /y\n",
    )
    assert made.metadata().keys() == {"result.json", "version"}
    assert made.metadata()["version"] == b"0.1.0"
    document = json.loads(made.json)
    assert list(document["def"]) == sorted(document["def"])
    ops = list(document["def"].values())
    (last,) = (op for op in ops if op.keys() == {"inputs"})
    assert all(op["constraints"] == {} for op in ops if op is not last)
    (run,) = (op["exec"] for op in ops if "exec" in op)
    assert run["network"] == "NONE"
    assert run["mounts"] == [
        {"dest": "/"},
        {
            "input": "-1",
            "dest": "/c",
            "output": "-1",
            "mountType": "CACHE",
            "cacheOpt": {"ID": "/q"},
        },
    ]
    (file,) = (op["file"] for op in ops if "file" in op)
    assert file["actions"][0].keys() == {"secondaryInput", "copy"}
    assert file["actions"][0]["copy"]["mode"] == 0o600
    assert file["actions"][0]["copy"]["timestamp"] == "-1"
    # A member of a oneof is included even if it is zero.
    assert file["actions"][0]["copy"]["owner"] == {"user": {"byID": 0}, "group": {"byID": 5}}
    digest = last["inputs"][0]["digest"]
    assert "COPY" in document["metadata"][digest]["description"]["llb.customname"]
    assert document["source"]["locations"][digest]["locations"][0] == lines(3)
    assert document["source"]["infos"][0]["language"] == "Dockerfile"


def test_conversion_of_an_empty_stage() -> None:
    made = ask("frontend.convertllb", "FROM scratch\n")
    assert json.loads(made.json) == {"def": {}, "metadata": {}, "source": {}}
