"""Parsers of untrusted input, each as a function of bytes.

A target raises all errors except LaminaErrors, which are valid answers. A file outside of the
directory that an archive is unpacked into is a bug, too, and so is unlimited time.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from unittest.mock import patch

from lamina.advise.advisor import Request, improve
from lamina.advise.context_files import ContextFiles
from lamina.advise.source import SourceText
from lamina.advise.stages import read_plan
from lamina.api.control import SCHEMA as CONTROL
from lamina.api.control import SolveRequest
from lamina.base.errors import LaminaError
from lamina.base.git_url import is_git_url, parse_git_url
from lamina.base.oci import parse_manifest
from lamina.base.patterns import PatternMatcher
from lamina.base.platform import parse_platform
from lamina.base.reference import parse_reference
from lamina.cli.image_diff_json import image_diff_json
from lamina.cli.image_diff_text import image_diff_lines
from lamina.dockerfile.expand import Expander
from lamina.dockerfile.ignore import read_patterns
from lamina.engine.definition_graph import load_graph
from lamina.imagediff.compare import compare_images
from lamina.imagediff.result import Options
from lamina.layers.apply import Whiteouts, apply_layer
from lamina.layers.archives import plain
from lamina.llb.codec import decode_definition
from lamina.llb.state import unmarshal
from lamina.system.cancel import Cancellation
from lamina.wire.protobuf import decode
from tests.dockerfile.memory_bridge import run_conversion
from tests.imagediff.memory_image import file, image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_CONTEXT = ("go.mod", "requirements.txt", "pyproject.toml", ".git/HEAD", "a.tgz")
TESTS = Path(__file__).resolve().parent.parent


class Target(NamedTuple):
    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    words: tuple[bytes, ...] = ()


def dockerfile(data: bytes) -> None:
    """A Dockerfile and its conversion."""
    with suppress(LaminaError):
        run_conversion(data.decode("utf-8", "surrogateescape"), build_args=(("A", "a"),))


def advice(data: bytes) -> None:
    """A Dockerfile and the advice on it, which gives a valid Dockerfile when it is applied."""
    request = Request("Dockerfile", ContextFiles(dict.fromkeys(_CONTEXT, 1 << 20)))
    try:
        improved = improve(data.decode("utf-8", "surrogateescape"), request)
    except LaminaError:
        return
    source = SourceText(improved.dockerfile, "Dockerfile")
    read_plan(source, {})


def expansion(data: bytes) -> None:
    """A word with variables."""
    text = data.decode("utf-8", "surrogateescape")
    for escape in "\\`":
        with suppress(LaminaError):
            Expander({"a": "b*/a", "b": "", "c": "x" * 99}, escape).words(text)
        with suppress(LaminaError):
            Expander({"a": "x"}, escape, keep_unset=True, raw_quotes=True).word(text)


def ignored(data: bytes) -> None:
    """A `.dockerignore`, and a path after its last line."""
    patterns, _, path = data.rpartition(b"\n")
    with suppress(LaminaError):
        matcher = PatternMatcher(read_patterns(patterns))
        matcher.matches(path.decode("utf-8", "surrogateescape").strip("/"))


def archive(data: bytes) -> None:
    """An archive that is unpacked: no file may be written outside."""
    with tempfile.TemporaryDirectory(prefix="lamina-fuzz-") as outside:
        inside = os.path.join(outside, "in", "side")
        os.makedirs(inside)
        with open(os.path.join(outside, "canary"), "w", encoding="ascii") as file:
            file.write("alive")
        try:
            with suppress(LaminaError, OSError, EOFError, ValueError):
                stream = _Bounded(plain(io.BytesIO(data)))
                apply_layer(stream, inside, Whiteouts.REMOVE, Cancellation())
            assert sorted(os.listdir(outside)) == ["canary", "in"]
            assert os.listdir(os.path.join(outside, "in")) == ["side"]
            with open(os.path.join(outside, "canary"), encoding="ascii") as file:
                assert file.read() == "alive"
            assert os.lstat(os.path.join(outside, "canary")).st_nlink == 1
        finally:
            shutil.rmtree(inside, ignore_errors=True)


def comparison(data: bytes) -> None:
    """A layer of an image that is compared."""
    with suppress(LaminaError), patch.dict(os.environ, {"LAMINA_MAX_UNPACKED": "4MB"}):
        before, after = image([file("a")]), image(data, diff_ids=[])
        diff = compare_images(before, after, Options(times=True), Cancellation())
        "\n".join(image_diff_lines(diff, verbose=True)).encode()
        image_diff_json(diff).encode("ascii")


class _Bounded:
    """Limits the decompressed size of a stream."""

    def __init__(self, stream: object) -> None:
        self._read = stream.read  # type: ignore[attr-defined]  # as much of a stream as is read
        self._left = 1 << 22

    def read(self, size: int, /) -> bytes:
        data: bytes = self._read(min(size, self._left))
        self._left -= len(data)
        return data


def graph(data: bytes) -> None:
    """A definition of LLB from a client."""
    with suppress(LaminaError):
        definition = decode_definition(data)
        load_graph(definition, frozenset(), lambda _: None)
        unmarshal(definition)


def request(data: bytes) -> None:
    """A message of the control API."""
    with suppress(LaminaError):
        decode(data, SolveRequest, CONTROL)


def names(data: bytes) -> None:
    """Names of images, platforms and repositories; documents of registries."""
    text = data.decode("utf-8", "surrogateescape")
    for parse in (parse_reference, parse_platform):
        with suppress(LaminaError):
            parse(text)
    if is_git_url(text):
        with suppress(LaminaError):
            parse_git_url(text)
    with suppress(LaminaError):
        parse_manifest(data, "")


def _cases() -> Iterable[bytes]:
    for path in sorted((TESTS / "corpus/cases").rglob("*.case"))[::3]:
        text = path.read_bytes().partition(b"\n=== Dockerfile\n")[2]
        if text:
            yield text.partition(b"\n=== ")[0]


def _archives() -> Iterable[bytes]:
    kinds = (tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE)
    for form in (tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=form) as tar:
            for number, kind in enumerate(kinds):
                for name in (
                    f"d/{number}",
                    f"../{number}",
                    f"{'d' * 90}/{'x' * 40}{number}",
                    ".wh.d",
                ):
                    info = tarfile.TarInfo(name)
                    info.type, info.linkname = kind, "../../canary"
                    tar.addfile(info, io.BytesIO())
        yield packed.getvalue()


def _graphs() -> Iterable[bytes]:
    from lamina.llb.codec import encode_definition

    for text in (
        "RUN --mount=type=cache,target=/c x\n",
        "COPY --from=a /b /c\n",
        "ADD http://h/x /\n",
    ):
        made = run_conversion(f"FROM base AS a\nFROM base\n{text}")
        if made.result.definition is not None:
            yield encode_definition(made.result.definition)


TARGETS: dict[str, Target] = {
    "dockerfile": Target(
        dockerfile,
        _cases,
        (b"FROM ", b"RUN --mount=", b"COPY <<E /x\n", b"\nE\n", b"ONBUILD ", b"# escape=`\n"),
    ),
    "advice": Target(
        advice,
        _cases,
        (
            *(
                b"RUN pip install --no-cache-dir -r requirements.txt && rm -rf ~/.cache\n",
                b"COPY . .\n",
            ),
            *(
                b"RUN apt-get update\n",
                b"RUN go build\n",
                b"ARG TOKEN\n",
                b" && ",
                b"; ",
                b" \\\n# a\n",
            ),
        ),
    ),
    "expansion": Target(
        expansion, lambda: (b"${a:-${b#*}}", b"\"$a\" '$b'", b"${a//b*/\\/}"), (b"${", b"##", b":?")
    ),
    "ignored": Target(
        ignored, lambda: (b"**/a\n!a/*/b\na/b", b"[^a-z]?\\*\nx/y"), (b"**", b"[^", b"\n!")
    ),
    "archive": Target(archive, _archives, (b"ustar", b"../", b"path=", b"\n")),
    "comparison": Target(
        comparison, _archives, (b"ustar", b".wh.", b"path=", b"GNU.sparse.size=", b"\n")
    ),
    "graph": Target(graph, _graphs),
    "request": Target(request, _graphs),
    "names": Target(
        names, lambda: (b"h:5/a/b:t@sha256:0", b"git@h:x?ref=a#b:c", b"windows(1.2)/arm/v7"), ()
    ),
}
