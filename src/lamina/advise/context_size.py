"""Advice: exclude files from the context that no step should read."""

from __future__ import annotations

import posixpath
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from lamina.advise.advice import Advice, Edit, Kind, Saving
from lamina.base.named_tuple import NamedTuple
from lamina.base.patterns import PatternMatcher
from lamina.dockerfile import instruction as ast

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from lamina.advise.context_files import ContextFiles
    from lamina.advise.stages import Plan, Step

_LARGE = 1 << 20
"""The size in bytes from which unread files are worth a line."""


class Generated(NamedTuple):
    """A directory, or a file, that tools make.

    `programs` are those that make it in a build: without one of them, the build may need that of
    the context. `beside` is a file that is in the same directory. `unless` are programs that read
    it.
    """

    name: str
    programs: tuple[str, ...] = ()
    beside: str = ""
    unless: tuple[str, ...] = ()


_NODE = ("npm", "yarn", "pnpm", "bun", "yarnpkg")
_PYTHON = ("pip", "pip3", "uv", "poetry", "pipenv")
GENERATED = (
    Generated(".git", unless=("git", "make", "goreleaser", "sbt", "cargo-make", "just", "task")),
    Generated("node_modules", _NODE, "package.json"),
    Generated("target", ("cargo",), "Cargo.toml"),
    Generated("target", ("mvn", "mvnw"), "pom.xml"),
    Generated(".gradle", ("gradle", "gradlew")),
    Generated("build", ("gradle", "gradlew"), "build.gradle"),
    Generated("build", ("gradle", "gradlew"), "build.gradle.kts"),
    Generated("vendor", ("composer",), "composer.json"),
    Generated(".venv"),
    Generated("venv", _PYTHON),
    Generated("__pycache__"),
    Generated(".pytest_cache"),
    Generated(".mypy_cache"),
    Generated(".ruff_cache"),
    Generated(".tox"),
    Generated(".nox"),
    Generated(".next", _NODE),
    Generated(".nuxt", _NODE),
    Generated(".svelte-kit", _NODE),
    Generated(".terraform"),
    Generated(".idea"),
    Generated(".vscode"),
    Generated(".DS_Store"),
)
_VERSION_TOOLS = ("setuptools_scm", "setuptools-scm", "hatch-vcs", "versioneer", "dynamic-version")


def context_size(plan: Plan, files: ContextFiles) -> Iterator[Advice]:
    """One item for each line that the ignore file should have."""
    read = ReadPaths(plan)
    programs = {
        found.program
        for stage in plan.stages
        for step in stage.steps
        for found in step.invocations or ()
    }
    lines: dict[str, tuple[str, int]] = {}
    for row in GENERATED:
        if row.programs and not programs & set(row.programs):
            continue
        if set(row.unless) & programs or (row.name == ".git" and _has_version_tool(files)):
            continue
        line, size = _generated(row, files, read)
        if line:
            lines.setdefault(line, (f"Tools make {row.name}", size))
    if read.paths:
        lines |= _unread(files, read, PatternMatcher(list(lines)))
    for line, (what, size) in sorted(lines.items(), key=lambda item: -item[1][1]):
        yield _advice(files, line, what, size, copied=what.startswith("Tools"))


class ReadPaths:
    """The files of the context that steps read: `paths` are cleaned, "" for all of it; patterns
    stay.

    `stages` are the numbers of the stages that count; all if it is not given.
    """

    def __init__(self, plan: Plan, stages: Collection[int] | None = None) -> None:
        self.paths: set[str] = set()
        for stage in plan.stages:
            if stages is None or stage.number in stages:
                for step in stage.steps:
                    self.paths |= {_clean(path) for path in _sources(step)}

    def reads(self, path: str) -> bool:
        """Whether a step reads a file."""
        return any(
            not read
            or path == read
            or path.startswith(f"{read}/")
            or (_is_pattern(read) and fnmatchcase(path, read))
            for read in self.paths
        )

    def includes(self, path: str) -> bool:
        """Whether a directory that is read contains a path; named alone it does not count."""
        return any(not read or path.startswith(f"{read}/") for read in self.paths)

    def names(self, path: str) -> bool:
        """Whether a step names a path, something in it, or may by a pattern."""
        return any(
            read and (f"{read}/".startswith(f"{path}/") or _pattern_meets(read, path))
            for read in self.paths
        )


def _is_pattern(path: str) -> bool:
    return any(char in path for char in "*?[")


def _pattern_meets(pattern: str, path: str) -> bool:
    if not _is_pattern(pattern):
        return False
    fixed = pattern
    for char in "*?[":
        fixed = fixed.partition(char)[0]
    return path.startswith(fixed) or fixed.startswith(path)


def _sources(step: Step) -> list[str]:
    one = step.instruction
    if isinstance(one, ast.Copy):
        if one.origin:
            return []
        return [step.before.expand(s) for s in one.sources if "://" not in s]
    return [m.source for m in step.mounts if m.type == "bind" and not m.origin]


def _clean(path: str) -> str:
    path = posixpath.normpath("/" + path).lstrip("/")
    return "" if path.startswith("$") else path


def _generated(row: Generated, files: ContextFiles, read: ReadPaths) -> tuple[str, int]:
    """The line for the directories of a name, and their size; "" if there are none that are
    read."""
    roots: dict[str, int] = {}
    for path, size in files.sizes.items():
        parts = path.split("/")
        if row.name not in parts:
            continue
        root = "/".join(parts[: parts.index(row.name) + 1])
        folder = posixpath.dirname(root)
        if row.beside and posixpath.join(folder, row.beside) not in files:
            continue
        roots[root] = roots.get(root, 0) + size
    found = {r: size for r, size in roots.items() if read.includes(r) and not read.names(r)}
    if not found or any(read.names(root) for root in roots):
        return "", 0
    nested = any("/" in root for root in found)
    return f"**/{row.name}" if nested else row.name, sum(found.values())


def _unread(
    files: ContextFiles, read: ReadPaths, ignored: PatternMatcher
) -> dict[str, tuple[str, int]]:
    """Large entries of the root that no step reads."""
    sizes: dict[str, int] = {}
    for path, size in files.sizes.items():
        top = path.partition("/")[0]
        if not ignored.matches(path):
            sizes[top] = sizes.get(top, 0) + size
    return {
        _quoted(top): (f"No step reads {top}", size)
        for top, size in sizes.items()
        if size >= _LARGE and not read.includes(top) and not read.names(top)
    }


def _quoted(name: str) -> str:
    for char in "\\*?[":
        name = name.replace(char, f"\\{char}")
    return name


def _has_version_tool(files: ContextFiles) -> bool:
    return any(
        tool in files.text(name)
        for name in ("pyproject.toml", "setup.py", "setup.cfg")
        if name in files
        for tool in _VERSION_TOOLS
    )


def _advice(files: ContextFiles, line: str, what: str, size: int, *, copied: bool) -> Advice:
    text = files.ignore_text
    newline = "\r\n" if "\r\n" in text else "\n"
    before = newline if text and not text.endswith("\n") else ""
    edit = Edit(len(text), len(text), before + line + newline)
    if copied:
        when = "whenever the context is copied"
        reason = f"{what}, and COPY takes it: a change there runs the following steps again."
    else:
        when = "whenever a builder sends the whole context"
        reason = f"{what}, but builders that send the whole context send it."
    saving = Saving("space", when, size=size)
    return Advice(Kind.CONTEXT, 0, files.ignore_name, reason, saving, (edit,), ignore_file=True)
