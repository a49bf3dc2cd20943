"""The shape of the source: sizes of modules, and imports between modules of a package."""

from __future__ import annotations

import ast
from pathlib import Path
from statistics import median

SOURCE = Path(__file__).parents[2] / "src"
LONGEST = 500
PATHS = sorted((SOURCE / "lamina").rglob("*.py"))

CYCLES = {
    frozenset(f"lamina.{name}" for name in names)
    for names in (
        ("base.glob_automaton", "base.glob_matcher"),
        ("client.frontend_attributes", "client.served_files"),
        ("dockerfile.checks.text", "dockerfile.stage"),
        ("dockerfile.convert", "dockerfile.convert_copy", "dockerfile.convert_run"),
        ("dockerfile.expand", "dockerfile.glob"),
        ("engine.frontends.dockerfile", "engine.frontends.table"),
        ("refs.folder_copy", "refs.manager"),
        ("session.artifacts", "session.folders", "session.remote_session"),
        ("solver.job", "solver.lookup", "solver.node"),
        ("states.mounts", "states.run", "states.state"),
        ("wire.budget", "wire.exchange", "wire.stream"),
    )
}
"""Modules that import each other in functions or for type checkers only. Add to them only if
needed: one concept in two files is a reason, a helper in the wrong file is not."""


def test_no_module_is_long() -> None:
    lines = {path: len(path.read_text().splitlines()) for path in PATHS}
    assert {str(path): count for path, count in lines.items() if count > LONGEST} == {}
    assert median(lines.values()) <= 150


def test_no_modules_import_each_other_when_they_are_loaded() -> None:
    assert _cycles(_graph(loading=True)) == set()


def test_modules_that_import_each_other() -> None:
    assert _cycles(_graph(loading=False)) == CYCLES


def test_cycles_are_found() -> None:
    imports = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a", "e"}, "e": {"d"}, "f": set[str]()}
    assert _cycles(imports) == {frozenset("abc"), frozenset("de")}


def _name(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _graph(*, loading: bool) -> dict[str, set[str]]:
    """The imports of each module; with `loading` only those when it is loaded."""
    names = {_name(path): ast.parse(path.read_text()) for path in PATHS}
    found: dict[str, set[str]] = {}
    for name, tree in names.items():
        if name == "lamina":  # it lists the public API, for type checkers
            found[name] = set()
            continue
        nodes = _loaded(tree) if loading else list(ast.walk(tree))
        found[name] = {i for node in nodes for i in _imported(node)} & names.keys() - {name}
    return found


def _loaded(tree: ast.Module) -> list[ast.AST]:
    """The statements that run when a module is loaded."""
    found: list[ast.AST] = []
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        found.append(node)
        match node:
            case ast.FunctionDef():
                continue
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                waiting += node.orelse
            case _:
                waiting += ast.iter_child_nodes(node)
    return found


def _imported(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(module), names=names):
            return [module, *(f"{module}.{alias.name}" for alias in names)]
    return []


def _cycles(imports: dict[str, set[str]]) -> set[frozenset[str]]:
    """The strongly connected components of more than one module."""
    reached = {name: _reachable(name, imports) for name in imports}
    found = {
        frozenset({name, *(other for other in reached[name] if name in reached[other])})
        for name in imports
    }
    return {cycle for cycle in found if len(cycle) > 1}


def _reachable(start: str, imports: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for name in imports[waiting.pop()] - found:
            found.add(name)
            waiting.append(name)
    return found
