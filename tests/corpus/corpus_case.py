"""Cases as text: a Dockerfile, its context, and the expected result.

A file has a description of a line or two, then sections that begin with `=== name`:

    Dockerfile   the text itself
    context      files, one a line: `path [mode] "content"` (JSON), `path/ [mode]`,
                 `path -> link`, `path = hard link`, `archive.tar.gz < folder`
    options      flags of `lamina build`, one a line
    tree         differences from the base image (see `corpus_image`)
    config       differences of the image's configuration from the base's
    history      the added entries; `-` before steps without a layer
    checks       the warnings of checks
    error        a part of the error of the build; `line N` is its location

`@HTTP@` is replaced by the address of a web server, `@SELF@` by the directory of the context.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

SECTIONS = ("Dockerfile", "context", "options", "tree", "config", "history", "checks", "error")
TIME = 1_000_000_000
_MODES: dict[str, Literal["w", "w:gz", "w:bz2", "w:xz"]] = {
    ".gz": "w:gz",
    ".bz2": "w:bz2",
    ".xz": "w:xz",
}


class Case(NamedTuple):
    """`sections` are texts without the last line's end."""

    about: str
    sections: dict[str, str]

    def lines(self, section: str) -> list[str]:
        text = self.sections.get(section, "")
        return text.split("\n") if text else []

    def to_text(self) -> str:
        parts = [self.about]
        parts += [
            f"=== {name}\n{self.sections[name]}" for name in SECTIONS if name in self.sections
        ]
        return "\n".join(parts) + "\n"


def read_case(text: str) -> Case:
    about, *rest = text.removesuffix("\n").split("\n=== ")
    sections = {}
    for part in rest:
        name, _, body = part.partition("\n")
        assert name in SECTIONS, name
        sections[name] = body
    return Case(about, sections)


def lay_out(case: Case, folder: Path, web: str) -> None:
    """Write the Dockerfile and the context. All files have the same time, in 2001."""
    folder.mkdir(parents=True)
    for line in case.lines("context"):
        _make(folder, line)
    if "Dockerfile" in case.sections:
        text = case.sections["Dockerfile"].replace("@HTTP@", web)
        # JSON can represent all contents of a Dockerfile: other line ends, no last one.
        data = json.loads(text) if text.startswith('"') else text + "\n"
        (folder / "Dockerfile").write_bytes(data.encode("utf-8", "surrogateescape"))
    for parent, folders, files in os.walk(folder, topdown=False):
        for name in (*folders, *files):
            os.utime(os.path.join(parent, name), (TIME, TIME), follow_symlinks=False)
    os.utime(folder, (TIME, TIME))


def _make(folder: Path, line: str) -> None:
    name, _, rest = line.partition(" ")
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if rest.startswith("-> "):
        path.symlink_to(rest[3:])
        return
    if rest.startswith("= "):
        os.link(folder / rest[2:], path)
        return
    if rest.startswith("< "):
        _pack(path, folder / rest[2:])
        return
    mode, content = rest.partition(" ")[::2] if rest[:1].isdigit() else ("", rest)
    if name.endswith("/"):
        path.mkdir(exist_ok=True)
        path.chmod(int(mode or "755", 8))
        return
    path.write_bytes(json.loads(content or '""').encode("utf-8", "surrogateescape"))
    path.chmod(int(mode or "644", 8))


def _pack(path: Path, source: Path) -> None:
    plain = path
    if path.suffix in (".zst", ".tzst"):
        plain = path.with_suffix(".plain")
    with tarfile.open(plain, _MODES.get(path.suffix, "w")) as tar:
        for name in sorted(os.listdir(source)):
            tar.add(source / name, name, filter=_settled)
    shutil.rmtree(source)
    if plain is not path:
        import zstandard

        path.write_bytes(zstandard.ZstdCompressor().compress(plain.read_bytes()))
        plain.unlink()


def _settled(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.mtime = TIME
    info.uid, info.gid = 7, 8
    info.uname = info.gname = ""
    return info
