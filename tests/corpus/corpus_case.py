"""Cases as text: a Dockerfile, its context, and what must come of it.

A file has a line or two on what it shows, then sections that begin with `=== name`:

    Dockerfile   the text itself
    context      files, one a line: `path [mode] "content"` (JSON), `path/ [mode]`,
                 `path -> link`, `path = hard link`, `archive.tar.gz < folder`
    options      flags of `lamina build`, one a line
    tree         what is not as in the base image (see `corpus_image`)
    config       the image's configuration, as far as it is not the base's
    history      what was added to it; `-` before steps without a layer
    checks       what the checks find
    error        what the build fails with: a part of the message; `line N` is where

`@HTTP@` stands for the address of a web server, `@SELF@` for the folder of the context.
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
    """Write the Dockerfile and the context. All files are of one time, in 2001."""
    folder.mkdir(parents=True)
    for line in case.lines("context"):
        _make(folder, line)
    if "Dockerfile" in case.sections:
        text = case.sections["Dockerfile"].replace("@HTTP@", web)
        # What JSON can say, a Dockerfile in quotes may hold: other line ends, no last one.
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
