from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.base.errors import InvalidInput, LaminaError
from lamina.dockerfile import instruction as ast
from lamina.dockerfile.health import format_duration, parse_duration
from lamina.dockerfile.lexer import parse_document
from lamina.dockerfile.parse import parse_instruction


def read(text: str) -> tuple[object, ...]:
    """The instruction's fields except its node."""
    document = parse_document(text + "\n", "Dockerfile")
    return parse_instruction(document.nodes[0], document.escape)[1:]


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("FROM x", ("x", "", "")),
        ("FROM --platform=linux/arm64 x:1 aS Build", ("x:1", "build", "linux/arm64")),
        ("ARG a b=1 c=", ((("a", None), ("b", "1"), ("c", "")),)),
        (
            "ENV a=1 b='x y' c=\\ d",
            ((("a", "1", False), ("b", "'x y'", False), ("c", "\\ d", False)),),
        ),
        ("ENV a  b c", ((("a", "b c", True),),)),
        ("LABEL a.b=1", ((("a.b", "1", False),),)),
        ("CMD a b", (ast.Command(("a b",), shell=True),)),
        ('CMD ["a", "b c"]', (ast.Command(("a", "b c"), shell=False),)),
        ("CMD ['a']", (ast.Command(("['a']",), shell=True),)),
        ("ENTRYPOINT []", (ast.Command((), shell=False),)),
        ("WORKDIR /a b", ("/a b",)),
        ("USER a:b", ("a:b",)),
        ("VOLUME /a /b", (("/a", "/b"),)),
        ('VOLUME ["/a b"]', (("/a b",),)),
        ("EXPOSE 80 443/udp", (("443/udp", "80"),)),
        ("STOPSIGNAL SIGKILL", ("SIGKILL",)),
        ('SHELL ["/bin/bash", "-c"]', (("/bin/bash", "-c"),)),
        ("MAINTAINER A <b>", ("A <b>",)),
        ("HEALTHCHECK NONE", (("NONE",), 0, 0, 0, 0, 0)),
        (
            "HEALTHCHECK --interval=1m30s --retries=3 CMD curl x",
            (("CMD-SHELL", "curl x"), 90 * 10**9, 0, 0, 0, 3),
        ),
        ('HEALTHCHECK --timeout=1.5s CMD ["a"]', (("CMD", "a"), 0, 15 * 10**8, 0, 0, 0)),
        ("ONBUILD  RUN --network=none x", ("RUN --network=none x",)),
        (
            "RUN --mount=type=cache,target=/c,from=b --network=host --device=v/d=x,required x y",
            (
                ast.Command(("x y",), shell=True),
                ("type=cache,target=/c,from=b",),
                ("b",),
                "host",
                "sandbox",
                (("v/d=x", True),),
            ),
        ),
    ],
)
def test_instructions(text: str, fields: tuple[object, ...]) -> None:
    assert read(text) == fields


def test_copy_and_add() -> None:
    copy = parse_instruction(
        parse_document("COPY --from=a --parents --exclude=x --exclude=y a b /c/\n", "D").nodes[0],
        "\\",
    )
    assert isinstance(copy, ast.Copy)
    assert (copy.sources, copy.destination, copy.origin) == (("a", "b"), "/c/", "a")
    assert (copy.parents, copy.link, copy.excludes, copy.unpack) == (True, False, ("x", "y"), None)
    add = parse_instruction(
        parse_document('ADD --unpack=false --link ["a b", "/c"]\n', "D").nodes[0], "\\"
    )
    assert isinstance(add, ast.Copy)
    assert (add.sources, add.destination, add.unpack, add.link) == (("a b",), "/c", False, True)


def test_copy_of_heredocs() -> None:
    copy = parse_instruction(
        parse_document("COPY <<-a.txt b <<'c' /x/\n\tone\na.txt\n$x\nc\n", "D").nodes[0], "\\"
    )
    assert isinstance(copy, ast.Copy)
    assert copy.sources == ("b",)
    assert [(h.name, h.content, h.expand) for h in copy.inline] == [
        ("a.txt", "one\n", True),
        ("c", "$x\n", False),
    ]


def test_on_build_keeps_its_heredoc() -> None:
    assert read("ONBUILD COPY <<E /x\na\nE") == ("COPY <<E /x\na\nE",)


@pytest.mark.parametrize(
    ("text", "part", "hint"),
    [
        ("RUM x", "unknown instruction: RUM", "RUN"),
        ("FORM x", "unknown instruction: FORM", "FROM"),
        ("  form x", "unknown instruction: form", "FROM"),
        ("COPY --form=a b c", "unknown flag: --form", "from"),
        ("RUN --user=x y", "unknown flag: --user", "--mount"),
        ("WORKDIR --x y", "unknown flag: --x", "no flags"),
        ("COPY --link=maybe a b", "expecting boolean", "true"),
        ("COPY --link= a b", "missing a value", ""),
        ("COPY --chown a b", "missing a value", "--chown="),
        ("COPY --chown=a --chown=b c d", "duplicate flag", ""),
        ("COPY a", "at least two arguments", ""),
        ("COPY a <<E\nE", "heredoc as a destination", ""),
        ("FROM", "either one or three", "AS"),
        ("FROM a b", "either one or three", "AS"),
        ("FROM a AS 1x", "invalid name for build stage", ""),
        ("ENV a", "must have two arguments", "name=value"),
        ("ENV a=1 b", 'can\'t find = in "b"', "quotes"),
        ("ENV =1", "can not be blank", ""),
        ("ARG =1", "can not be blank", ""),
        ("ENV", "at least one argument", ""),
        ("RUN []", "requires a command", ""),
        ("RUN --network=lan x", "invalid network mode", "host"),
        ("RUN --security=none x", "is not valid", "insecure"),
        ('RUN ["a", 1]', "strings only", ""),
        ("SHELL sh -c", "JSON form", "SHELL ["),
        ("SHELL []", "at least one argument", ""),
        ("HEALTHCHECK", "at least one argument", ""),
        ("HEALTHCHECK TCP x", 'Unknown type "TCP"', ""),
        ("HEALTHCHECK CMD", "Missing command", ""),
        ("HEALTHCHECK NONE x", "takes no arguments", ""),
        ("HEALTHCHECK --interval=1 CMD x", "invalid duration", "30s"),
        ("HEALTHCHECK --interval=1us CMD x", "less than 1ms", ""),
        ("HEALTHCHECK --retries=-1 CMD x", "not negative", ""),
        ("ONBUILD", "at least one argument", ""),
        ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD", ""),
        ("ONBUILD FROM x", "isn't allowed", ""),
        ('VOLUME [""]', "empty string", ""),
        ("WORKDIR", "exactly one argument", ""),
        ("RUN --mount=from=$x,target=/y z", "variable expansion", "alias"),
    ],
)
def test_errors(text: str, part: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(text)
    assert part in caught.value.reason
    assert hint in caught.value.hint
    assert caught.value.location is not None
    assert caught.value.location.start == 1


@pytest.mark.parametrize(
    ("text", "nanoseconds", "printed"),
    [
        ("0", 0, "0s"),
        ("1ns", 1, "1ns"),
        ("1.5us", 1500, "1.5µs"),
        ("2ms", 2 * 10**6, "2ms"),
        (".5s", 5 * 10**8, "500ms"),
        ("30s", 30 * 10**9, "30s"),
        ("90s", 90 * 10**9, "1m30s"),
        ("1h", 3600 * 10**9, "1h0m0s"),
        ("1h1m1.001s", 3661001 * 10**6, "1h1m1.001s"),
    ],
)
def test_durations(text: str, nanoseconds: int, printed: str) -> None:
    assert parse_duration(text) == nanoseconds
    assert format_duration(nanoseconds) == printed


@given(
    st.sampled_from(ast.KEYWORDS),
    st.text(alphabet="abc =-'\"[]{},$\\<E1/:\n", max_size=40),
)
def test_anything_is_parsed_or_refused_with_a_place(keyword: str, rest: str) -> None:
    try:
        document = parse_document(f"{keyword} {rest}\n", "Dockerfile")
        for node in document.nodes:
            parse_instruction(node, document.escape)
    except LaminaError as error:
        assert error.location is not None
