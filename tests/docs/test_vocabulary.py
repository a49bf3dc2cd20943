"""Names in the source use the words of docs/glossary.md, and none of those that it replaces."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).parents[2] / "src/lamina"

BANNED = frozenset(
    (
        *("borrow", "borrowed", "inert", "judge", "judged", "judging", "landing", "lend", "lender"),
        *("lending", "lends", "lent", "likeness", "nobody", "nobodys", "past", "patience"),
        *("places", "renounce", "renounced", "teller", "told", "travel", "travels", "twin"),
        *("twins", "wish", "wishes", "workplace", "workshop"),
    )
)
"""Parts of names, in lower case."""

ALLOWED: frozenset[str] = frozenset()
"""Whole names with a banned part that a standard prescribes."""

CHECKED = (
    "advise",
    "api",
    "attest",
    "bake",
    "base",
    "builder",
    "cacheio",
    "cli",
    "client",
    "daemon",
    "dap",
    "dockerfile",
    "engine",
    "exporters",
    "frontend",
    "gateway",
    "imagediff",
    "layers",
    "llb",
    "objectstores",
    "ops",
    "policy",
    "records",
    "refs",
    "registry",
    "runtime",
    "sbom",
    "session",
    "solver",
    "sources",
    "states",
    "stores",
    "system",
    "testing",
    "ui",
    "wire",
)


@pytest.mark.parametrize("package", CHECKED)
def test_names_use_the_words_of_the_glossary(package: str) -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{line}: {name}"
        for path in sorted((SOURCE / package).rglob("*.py"))
        for line, name in ((1, path.stem), *_names(ast.parse(path.read_text())))
        if name not in ALLOWED and BANNED & _parts(name)
    ]
    assert found == []


def test_every_package_is_checked() -> None:
    packages = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert packages == set(CHECKED)


def test_parts_of_names() -> None:
    assert _parts("_LentBlob2") == {"lent", "blob2"}
    assert _parts("HTTPServer_told") == {"http", "server", "told"}
    tree = ast.parse("class A:\n  x: int\n  def f(self, y): self.z = w = 1\n")
    assert [name for _, name in _names(tree)] == ["A", "x", "f", "self", "y", "z", "w"]


def _names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The names that a module defines or binds: (line, name), by depth, then in the order of the
    text."""
    for node in _walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                yield node.lineno, name
            case ast.arg(arg=name) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.Name(id=name, ctx=ast.Store()):
                yield node.lineno, name


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _walk(child)


def _parts(name: str) -> set[str]:
    words = re.findall(r"[A-Z]+(?![a-z])[0-9]*|[A-Z]?[a-z]+[0-9]*", name)
    return {word.lower() for word in words}
