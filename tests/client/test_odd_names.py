"""Names of directories and files that are not text, and locales whose encoding is not UTF-8."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.commands import Lamina

NAMES = {
    "newline": b"nl\nx",
    "Latin-1": b"caf\xe9",
    "escape": b"\x1b]0;title\x07",
    "UTF-8": "\u00e9\u4e2d".encode(),
    "comma and quote": b'a,"b',
}


@pytest.fixture(params=list(NAMES.values()), ids=list(NAMES))
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), request.param)))
    folder.mkdir()
    (folder / "f").write_text("hi")
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY f /\n")
    return folder


def test_folders(builder: Lamina, odd: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    builder.build(odd, "-o", str(out / "main"))
    (odd / "named").write_text("FROM scratch\nCOPY --from=k f /named\n")
    options = (f"--build-context=k={odd}", "-f", str(odd / "named"))
    builder.build(odd, *options, "-o", str(out / "context"))
    assert (out / "main/f").read_text() == (out / "context/named").read_text() == "hi"


def test_dockerfiles_with_their_ignore_files(builder: Lamina, odd: Path, tmp_path: Path) -> None:
    dockerfile = odd / odd.name
    dockerfile.write_text("FROM scratch\nCOPY . /\n")
    dockerfile.with_name(f"{odd.name}.dockerignore").write_text("*\n!f\n")
    builder.build(odd, "-f", str(dockerfile), "-o", str(tmp_path / "out"))
    assert os.listdir(tmp_path / "out") == ["f"]


def test_caches_and_outputs(builder: Lamina, odd: Path, tmp_path: Path) -> None:
    cache = '"' + str(odd / "cache").replace('"', '""') + '"'
    at, to = cache.replace('"', '"src=', 1), cache.replace('"', '"dest=', 1)
    image = '"' + str(odd / "image.tar").replace('"', '""') + '"'
    builder.build(
        odd,
        *(f"--cache-to=type=local,{to}", f"--iidfile={odd}/id"),
        *("-o", f"type=oci,{image.replace(chr(34), chr(34) + 'dest=', 1)}"),
    )
    assert (odd / "cache/index.json").exists()
    assert (odd / "image.tar").exists()
    assert (odd / "id").read_text().startswith("sha256:")
    (odd / "cache").rename(odd / "cache2")
    builder.build(
        odd, "-o", "type=cacheonly", "--cache-from=type=local," + at.replace("cache", "cache2")
    )


def test_names_that_the_protocol_cannot_contain_are_refused(
    builder: Lamina, context: Callable[..., Path]
) -> None:
    folder = context("FROM scratch\nARG A\nCOPY Dockerfile /\n")
    done = builder(
        "build",
        "--progress=plain",
        f"--build-arg=A={os.fsdecode(b'x' + bytes([233]))}",
        str(folder),
    )
    assert done.code == 0 or "build-arg:A=x? is not UTF-8" in done.err


@pytest.mark.parametrize("encoding", ["ANSI_X3.4-1968", "ISO-8859-1"])
def test_a_locale_of_another_encoding(
    builder: Lamina, context: Callable[..., Path], tmp_path: Path, encoding: str
) -> None:
    folder = context("FROM scratch\nCOPY \u00e9\u00fc /\u00e9\u00fc\n", {"\u00e9\u00fc": "content"})
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    if encoding == "ISO-8859-1":
        if shutil.which("localedef") is None or not os.path.isdir("/usr/share/i18n/charmaps"):
            pytest.skip("there are no sources of locales")
        name = f"en_US.{encoding}"
        made = ["localedef", "-i", "en_US", "-f", encoding, str(tmp_path / name)]
        subprocess.run(made, check=False, capture_output=True)
        locale = {"LC_ALL": name, "LOCPATH": str(tmp_path)}
    builder.build(folder, "-o", str(tmp_path / "out"), env=locale)
    assert (tmp_path / "out/\u00e9\u00fc").read_text() == "content"
