"""Every check: when it warns, when it does not, and how it is disabled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.base.errors import InvalidInput
from lamina.base.platform import parse_platform
from lamina.dockerfile.checks.options import CheckOptions, parse_check_options
from lamina.dockerfile.checks.report import check
from lamina.dockerfile.checks.rules import RULES
from lamina.dockerfile.contract import FrontendRequest
from lamina.dockerfile.options import FrontendOptions
from tests.dockerfile.memory_bridge import AMD64, MemoryBridge, image_config

if TYPE_CHECKING:
    from lamina.dockerfile.contract import Warned
    from tests.dockerfile.memory_bridge import Convert

# (rule, Dockerfile, [(line, detail), …]); warnings of other rules are ignored.
_CASES: list[tuple[str, str, list[tuple[int, str]]]] = [
    (
        "StageNameCasing",
        "FROM base AS Build\nFROM base AS test\n",
        [(1, "Stage name 'Build' should be lowercase")],
    ),
    (
        "FromAsCasing",
        "FROM base as a\nfrom base AS b\nFROM base AS c\nfrom base as d\nFrom base aS e\n",
        [
            (1, "'as' and 'FROM' keywords' casing do not match"),
            (2, "'AS' and 'from' keywords' casing do not match"),
        ],
    ),
    (
        "NoEmptyContinuation",
        "FROM base\nRUN a && \\\n\n  b && \\\n\n  c\nRUN a && \\\n  # comment\n  b\n",
        [(6, "Empty continuation line")],
    ),
    (
        "ConsistentInstructionCasing",
        "FROM base\nEnv A=1\nworkdir /x\nUSER x\n",
        [
            (2, "Command 'Env' should match the case of the command majority (uppercase)"),
            (3, "Command 'workdir' should match the case of the command majority (uppercase)"),
        ],
    ),
    (
        "ConsistentInstructionCasing",
        "from base\nenv A=1\nUSER x\n",
        [(3, "Command 'USER' should match the case of the command majority (lowercase)")],
    ),
    (
        "DuplicateStageName",
        "FROM base AS a\nFROM base AS b\nFROM base AS a\n",
        [(3, 'Duplicate stage name "a", stage names should be unique')],
    ),
    (
        "ReservedStageName",
        "FROM base AS context\nFROM base AS scratch\nFROM base AS contexts\n",
        [
            (1, 'Stage name should not use the same name as reserved stage "context"'),
            (2, 'Stage name should not use the same name as reserved stage "scratch"'),
        ],
    ),
    (
        "JSONArgsRecommended",
        "FROM base\nENTRYPOINT run\nCMD serve\n",
        [
            (
                line,
                f"JSON arguments recommended for {word} to prevent unintended behavior related to "
                "OS signals",
            )
            for line, word in ((2, "ENTRYPOINT"), (3, "CMD"))
        ],
    ),
    ("JSONArgsRecommended", 'FROM base\nCMD ["a"]\nENTRYPOINT ["b"]\nRUN c\n', []),
    ("JSONArgsRecommended", 'FROM base\nSHELL ["/bin/sh", "-c"]\nCMD a\n', []),
    (
        "MaintainerDeprecated",
        "FROM base\nMAINTAINER me\n",
        [(2, "Maintainer instruction is deprecated in favor of using label")],
    ),
    (
        "UndefinedArgInFrom",
        "ARG TAG=latest\nFROM base:${TAGS:-latest} AS a\nFROM base:${OTHER:-latest}\n",
        [
            (2, "FROM argument 'TAGS' is not declared (did you mean TAG?)"),
            (3, "FROM argument 'OTHER' is not declared"),
        ],
    ),
    ("UndefinedArgInFrom", "ARG TAG\nFROM --platform=$BUILDPLATFORM base:${TAG:-latest}\n", []),
    (
        "WorkdirRelativePath",
        "FROM base AS a\nWORKDIR app\nWORKDIR more\nFROM a\nWORKDIR still\nFROM base\nWORKDIR x\n",
        [
            (
                line,
                f'Relative workdir "{path}" can have unexpected results if the base image changes',
            )
            for line, path in ((2, "app"), (7, "x"))
        ],
    ),
    ("WorkdirRelativePath", "FROM base\nWORKDIR /app\nWORKDIR more\n", []),
    (
        "UndefinedVar",
        "FROM base\nENV VERSION=1\nWORKDIR /$VERSIO\nCOPY $x /\n",
        [
            (3, "Usage of undefined variable '$VERSIO' (did you mean $VERSION?)"),
            (4, "Usage of undefined variable '$x'"),
        ],
    ),
    ("UndefinedVar", "FROM base\nARG A\nENV B=$A C=$PATH\nRUN echo $NONE\nEXPOSE $NONE\n", []),
    (
        "UndefinedVar",
        "FROM base\nRUN --mount=type=cache,target=/c$NONE true\nARG X=$NO\n",
        [
            (2, "Usage of undefined variable '$NONE'"),
            (3, "Usage of undefined variable '$NO'"),
        ],
    ),
    (
        "MultipleInstructionsDisallowed",
        'FROM base\nCMD ["a"]\nENTRYPOINT ["a"]\nCMD ["b"]\nHEALTHCHECK NONE\nHEALTHCHECK NONE\n',
        [
            (
                line,
                f"Multiple {word} instructions should not be used in the same stage because only "
                "the last one will be used",
            )
            for line, word in ((2, "CMD"), (5, "HEALTHCHECK"))
        ],
    ),
    ("MultipleInstructionsDisallowed", 'FROM base AS a\nCMD ["a"]\nFROM a\nCMD ["b"]\n', []),
    (
        "LegacyKeyValueFormat",
        "FROM base\nENV A 1\nLABEL b c\nENV A=1\n",
        [
            (line, f'"{word} key=value" should be used instead of legacy "{word} key value" format')
            for line, word in ((2, "ENV"), (3, "LABEL"))
        ],
    ),
    (
        "RedundantTargetPlatform",
        "FROM --platform=${TARGETPLATFORM} base AS a\nFROM --platform=$BUILDPLATFORM base\n",
        [
            (
                1,
                "Setting platform to predefined ${TARGETPLATFORM} in FROM is redundant as this is "
                "the default behavior",
            )
        ],
    ),
    (
        "SecretsUsedInArgOrEnv",
        "FROM base\nARG API_KEY TOKENS auth\nENV My_Password=1 KEY_FILE=x TOKEN_VERSION=1\n",
        [
            (2, 'Do not use ARG or ENV instructions for sensitive data (ARG "API_KEY")'),
            (2, 'Do not use ARG or ENV instructions for sensitive data (ARG "auth")'),
            (3, 'Do not use ARG or ENV instructions for sensitive data (ENV "My_Password")'),
        ],
    ),
    (
        "InvalidDefaultArgInFrom",
        "ARG TAG\nARG GOOD=base\nFROM base:$TAG AS a\nFROM $GOOD AS b\nFROM base:${TAG:-latest}\n",
        [(3, "Default value for ARG base:$TAG results in empty or invalid base image name")],
    ),
    (
        "FromPlatformFlagConstDisallowed",
        "FROM --platform=linux/amd64 base AS x\nFROM --platform=linux/amd64 base AS build_amd64\n",
        [(1, 'FROM --platform flag should not use constant value "linux/amd64"')],
    ),
    (
        "ExposeProtoCasing",
        "FROM base\nEXPOSE 80/TCP 81/tcp 82\n",
        [(2, "Defined protocol '80/TCP' in EXPOSE instruction should be lowercase")],
    ),
    (
        "ExposeInvalidFormat",
        "FROM base\nEXPOSE 8080:80 81 127.0.0.1::82\n",
        [
            (
                2,
                "EXPOSE instruction should not define an IP address or host-port mapping, found "
                f"'{port}'",
            )
            for port in ("127.0.0.1::82", "8080:80")
        ],
    ),
    ("InvalidDefinitionDescription", "# other\nARG A\n# nothing\nFROM base AS a\n", []),
    (
        "InvalidDefinitionDescription",
        "#\n# check=experimental=all\n# other\nARG A\nFROM base\n",
        [(4, "Comment for ARG should follow the format: `# A <description>`")],
    ),
]


def lint(text: str, **args: str) -> tuple[Warned, ...]:
    """The warnings for all stages."""
    report = check(
        FrontendRequest(FrontendOptions(build_args=tuple(args.items())), AMD64, AMD64),
        MemoryBridge(text, {}, None),
    )
    assert report.error is None
    return report.finds


@pytest.mark.parametrize(("rule", "text", "finds"), _CASES)
def test_a_rule(rule: str, text: str, finds: list[tuple[int, str]]) -> None:
    # Given the tag, so that a missing default of a FROM does not end the conversion.
    warnings = lint(text, TAG="latest")
    assert [
        (w.location.start, w.detail) for w in warnings if w.rule == rule and w.location
    ] == finds


def test_every_rule_is_tested() -> None:
    tested = {rule for rule, _, finds in _CASES if finds}
    elsewhere = {"CopyIgnoredFile", "InvalidBaseImagePlatform"}
    assert tested | elsewhere == {rule.name for rule in RULES}


def test_experimental_rules_run_only_on_request(convert: Convert) -> None:
    text = (
        "# check=experimental=InvalidDefinitionDescription\n\n"
        "# A is described\nARG A=1\n\n# not about B\nARG B\n"
        "# whatever\nARG C D\n# about the stage\nFROM base AS final\n"
    )
    made = convert(text)
    assert [(w.location and w.location.start, w.detail) for w in made.bridge.warnings] == [
        (7, "Comment for ARG should follow the format: `# B <description>`"),
        (9, "Comment for ARG should follow the format: `# <arg_key> <description>`"),
        (11, "Comment for FROM should follow the format: `# final <description>`"),
    ]


def test_ignored_files(convert: Convert) -> None:
    text = "FROM base\nCOPY a.txt ./sub/b.log /x/\nADD . /y\nCOPY --from=base a.txt /\n"
    made = convert(text, ignore=b"*.txt\nsub\n")
    assert [w.detail for w in made.bridge.warnings] == [
        'Attempting to Copy file "a.txt" that is excluded by .dockerignore',
        'Attempting to Copy file "sub/b.log" that is excluded by .dockerignore',
    ]
    made = convert("FROM base\nCOPY . /\n", ignore=b"**\n")
    assert [w.rule for w in made.bridge.warnings] == ["CopyIgnoredFile"]
    # It is not known which files an exception includes.
    assert not convert(text, ignore=b"*.txt\n!a.txt\n").bridge.warnings


def test_a_base_for_another_machine(convert: Convert) -> None:
    made = convert("FROM base\n", platform=parse_platform("linux/arm64"))
    (find,) = made.bridge.warnings
    assert find.rule == "InvalidBaseImagePlatform"
    assert find.detail == (
        'Base image base was pulled with platform "linux/amd64", expected "linux/arm64" for '
        "current build"
    )


def test_inherited_shell_counts(convert: Convert) -> None:
    images = {"shell": image_config(Shell=["/bin/bash", "-c"])}
    assert not convert("FROM shell\nCMD run\n", images).bridge.warnings


@pytest.mark.parametrize(
    ("first", "left"),
    [
        ("# check=skip=StageNameCasing", ["FromAsCasing"]),
        ("# check=skip=FromAsCasing,StageNameCasing", []),
        ("# check=skip=FromAsCasing, StageNameCasing", ["StageNameCasing"]),
        ("#check = skip=all", []),
        ("#!/usr/bin/lamina\n# check=skip=all", []),
        ("# a comment\n# check=skip=all\n#", ["StageNameCasing", "FromAsCasing"]),
        ("# syntax=docker/dockerfile:1\n# CHECK=skip=all", []),
    ],
)
def test_directives(convert: Convert, first: str, left: list[str]) -> None:
    made = convert(f"{first}\n\nFROM base as A\n")
    assert [w.rule for w in made.bridge.warnings] == left


def test_a_comment_above_one_instruction(convert: Convert) -> None:
    made = convert(
        "FROM base\n# check=skip=JSONArgsRecommended\nENTRYPOINT a\nCMD a\n"
        "# check=nonsense\nENV A b\n"
    )
    assert [w.location and w.location.start for w in made.bridge.warnings] == [4, 6]


def test_the_build_argument_overrides_the_directive(convert: Convert) -> None:
    text = "# check=skip=all\nFROM base as a\n"
    args = (("BUILDKIT_DOCKERFILE_CHECK", "skip=StageNameCasing"),)
    assert [w.rule for w in convert(text, build_args=args).bridge.warnings] == ["FromAsCasing"]


def test_warnings_as_errors(convert: Convert) -> None:
    text = "# check=error=true\nFROM base as A\n"
    with pytest.raises(InvalidInput) as caught:
        convert(text)
    assert str(caught.value) == "lint violation found for rules: FromAsCasing, StageNameCasing"
    convert(text.replace("as A", "AS a"))
    convert(text.replace("true", "false"))


@pytest.mark.parametrize("text", ["skip", "error=maybe", "nothing=x", "skip=a;b", "a=b;c=d;e=f"])
def test_malformed_options(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_check_options(text)


def test_options() -> None:
    assert parse_check_options(" ") == CheckOptions()
    assert parse_check_options("skip=A, B ; experimental=all;error=T") == CheckOptions(
        skip=frozenset("AB"), experimental_all=True, error=True
    )


def test_a_warning_has_rule_line_description_and_url(convert: Convert) -> None:
    (find,) = convert("FROM base AS A\n").bridge.warnings
    assert find.short == "StageNameCasing: Stage name 'A' should be lowercase (line 1)"
    assert find.description == "Stage names should be lowercase"
    assert find.url == "https://docs.docker.com/go/dockerfile/rule/stage-name-casing/"


_PIECES = st.sampled_from(
    (
        "FROM base\n", "from base as A\n", "FROM ${X:-base} AS scratch\n", "ARG X=1 TOKEN\n",
        "ENV a b\n", "ENV A=$B ${C:-d}\n", "EXPOSE 1:2/TCP $X\n", "CMD x\n", "ENTRYPOINT $A\n",
        "WORKDIR x\n", "COPY a $B <<E /\n$Q\nE\n", "# check=skip=all\n", "#\n", "# X y\n",
        "RUN --mount=type=cache,target=/$N \\\n\n x\n", "HEALTHCHECK NONE\n", "MAINTAINER x\n",
        "FROM --platform=$TARGETPLATFORM A\n", "FROM --platform=linux/arm64 base\n", "LABEL $\n",
    )
)  # fmt: skip


@given(st.lists(st.one_of(_PIECES, st.text(max_size=20)), max_size=12))
def test_any_text_can_be_checked(pieces: list[str]) -> None:
    text = "".join(pieces)
    report = check(
        FrontendRequest(FrontendOptions(), AMD64, AMD64), MemoryBridge(text, {}, b"*.md\nsub\n")
    )
    assert report.to_json()["sources"]
    report.to_text()
    assert report.status == int(bool(report.finds) or report.error is not None)
