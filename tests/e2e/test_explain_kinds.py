"""After edits of many kinds, each step that ran has a cause, and undoing the edits that
`lamina explain` names makes it a hit again.

LAMINA_EXPLAIN_EXAMPLES is the number of examples, for long runs.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.commands import Lamina
from tests.conftest import BASE
from tests.e2e.test_explain_edits import explained

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

EXAMPLES = int(os.environ.get("LAMINA_EXPLAIN_EXAMPLES", "2"))

# The instructions by a part of their text that no other one has, in whatever variant.
LINES = {
    "AS tools": "FROM base AS tools",
    " /tools": "COPY tools /tools",
    "> /t": "RUN cat /tools/* > /t",
    "AS spare": "FROM base AS spare",
    "spare step": "RUN echo spare step > /s",
    "AS app": "FROM base AS app",
    "ARG V": "ARG V",
    "ENV E": "ENV E=1",
    "LABEL": "LABEL l=1",
    " /one": "COPY one /one",
    "first": "RUN echo first",
    "script": "RUN <<EOF\necho script\nEOF",
    "/inline": "COPY <<EOF /inline\ntext\nEOF",
    " /two": "COPY --link two /two",
    " /t /t": "COPY --from=tools /t /t",
    " /s /s": "COPY --from=spare /s /s",
    "bound": "RUN --mount=type=bind,source=three,target=/three cat /three/*; echo bound",
    "last": "RUN echo $V last",
}
FILES = {
    f"{folder}/{name}": ("file", f"{folder} {name}")
    for folder in ("tools", "one", "two", "three")
    for name in ("a", "b")
}
INSTRUCTIONS = [key for key, line in LINES.items() if line.startswith(("COPY", "RUN"))]


class Project:
    """What is built. Edits change it."""

    def __init__(self) -> None:
        self.lines = dict(LINES)
        self.files = dict(FILES)
        self.modes: dict[str, int] = {}
        self.ignored: list[str] = []
        self.argument = "1"

    def build(self, lamina: Lamina, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        shutil.copy("/bin/busybox", folder / "busybox")
        for path, (kind, content) in self.files.items():
            place = folder / path
            place.parent.mkdir(exist_ok=True)
            if kind == "link":
                place.symlink_to(content)
            else:
                place.write_text(content)
                place.chmod(self.modes.get(path, 0o644))
        (folder / ".dockerignore").write_text("\n".join([*self.ignored, ""]))
        (folder / "Dockerfile").write_text("\n".join([BASE.rstrip("\n"), *self.lines.values(), ""]))
        lamina.build(folder, f"--build-arg=V={self.argument}")


class Edit(NamedTuple):
    """`names` are what causes say of it: keys or texts of instructions, paths, variables."""

    title: str
    apply: Callable[[Project], None]
    names: tuple[str, ...]

    def __repr__(self) -> str:
        return self.title


def line(key: str, changed: str) -> Edit:
    def apply(project: Project) -> None:
        project.lines[key] = changed

    return Edit(f"{key!r} becomes {changed!r}", apply, (key,))


def inserted(before: str, text: str) -> Edit:
    def apply(project: Project) -> None:
        place = list(project.lines).index(before)
        lines = list(project.lines.items())
        project.lines = dict([*lines[:place], (text, text), *lines[place:]])

    return Edit(f"{text!r} before {before!r}", apply, (text,))


def removed(key: str) -> Edit:
    def apply(project: Project) -> None:
        del project.lines[key]

    return Edit(f"without {key!r}", apply, (key,))


def reordered(title: str, first: Iterable[str], names: tuple[str, ...]) -> Edit:
    """`first` are instructions that come before the first of the others that follow `FROM`."""
    keys = list(first)

    def apply(project: Project) -> None:
        moved = {key: project.lines.pop(key) for key in keys if key in project.lines}
        place = list(project.lines).index(names[-1]) if names[-1] in project.lines else 0
        lines = list(project.lines.items())
        project.lines = dict([*lines[:place], *moved.items(), *lines[place:]])

    return Edit(title, apply, (*keys, *names))


def content(path: str) -> Edit:
    def apply(project: Project) -> None:
        project.files[path] = ("file", "changed")

    return Edit(f"{path} changes", apply, (path,))


def mode(path: str) -> Edit:
    def apply(project: Project) -> None:
        project.modes[path] = 0o755

    return Edit(f"mode of {path}", apply, (path,))


def renamed(path: str) -> Edit:
    def apply(project: Project) -> None:
        project.files[f"{path}2"] = project.files.pop(path)

    return Edit(f"{path} is renamed", apply, (path, f"{path}2"))


def added(path: str) -> Edit:
    def apply(project: Project) -> None:
        project.files[path] = ("file", "new")

    return Edit(f"{path} is new", apply, (path,))


def linked(path: str, target: str) -> Edit:
    def apply(project: Project) -> None:
        project.files[path] = ("link", target)

    return Edit(f"{path} links to {target}", apply, (path,))


def ignored(path: str) -> Edit:
    def apply(project: Project) -> None:
        project.ignored.append(path)

    return Edit(f"{path} is ignored", apply, (path,))


def argument(value: str) -> Edit:
    def apply(project: Project) -> None:
        project.argument = value

    return Edit(f"V={value}", apply, ("V",))


# One edit of each group can be made at a time.
GROUPS: tuple[tuple[Edit, ...], ...] = (
    *(
        (
            content(f"{folder}/a"),
            mode(f"{folder}/a"),
            renamed(f"{folder}/a"),
            linked(f"{folder}/a", "b"),
            ignored(f"{folder}/a"),
        )
        for folder in ("tools", "one", "two", "three")
    ),
    tuple(added(f"{folder}/new") for folder in ("tools", "one", "two", "three")),
    (argument("2"),),
    (
        line("ENV E", "ENV E=2")._replace(names=("E",)),
        inserted("LABEL", "ENV F=1"),
        removed("ENV E")._replace(names=("E",)),
    ),
    (line("LABEL", "LABEL l=2"), removed("LABEL")),
    (line(" /one", "COPY --chmod=700 one /one"), line(" /one", "COPY one /one/deeper")),
    (line("first", "RUN echo first; true"), removed("first"), line("first", "RUN  echo first")),
    (line("script", "RUN <<EOF\necho script\necho more\nEOF"), removed("script")),
    (
        line("/inline", "COPY <<EOF /inline\nother\nEOF")._replace(
            names=("/inline", "inline document")
        ),
        removed("/inline"),
    ),
    (
        line(" /two", "COPY two /two"),
        line(" /two", "COPY --link --chmod=600 two /two"),
        removed(" /two"),
    ),
    (line("> /t", "RUN cat /tools/* /bin/busybox > /t"),),
    (line("spare step", "RUN echo spare step again > /s"),),
    (
        line("bound", LINES["bound"].replace("source=three", "source=one")),
        line("bound", LINES["bound"].replace("target=/three", "target=/three,rw")),
    ),
    (inserted("last", "RUN echo inserted"), inserted(" /one", "RUN echo inserted")),
    (
        reordered("the stages change places", ("AS spare", "spare step"), ("AS tools",)),
        reordered("script comes first", ("script",), ("first",)),
    ),
)
EDITS = st.lists(st.sampled_from(range(len(GROUPS))), min_size=1, max_size=4, unique=True).flatmap(
    lambda groups: st.tuples(*(st.sampled_from(GROUPS[group]) for group in groups))
)


def project_of(edits: Iterable[Edit]) -> Project:
    """Edits of the order come last: the others refer to instructions that are at their place."""
    project = Project()
    for edit in sorted(edits, key=lambda edit: edit.apply.__qualname__.startswith("reordered")):
        edit.apply(project)
    return project


def is_named(edit: Edit, root: dict[str, Any], step: str) -> bool:
    """Whether a root cause names an edit."""
    match root["cause"]:
        case "filesChanged":
            paths = [change["path"] for change in root.get("paths", ())]
            return any(
                name == path or name.startswith(path if path.endswith("/") else f"{path}/")
                for name in edit.names
                for path in paths
            )
        case "variableChanged":
            return (
                root["name"] in edit.names
                or f"ENV {root['name']}=1" in edit.names
                or (f"ENV {root['name']}" in edit.names)
            )
        case _:
            texts = [step, *(str(root.get(key, "")) for key in ("name", "before", "after"))]
            return any(name in text for name in edit.names for text in texts)


@settings(max_examples=EXAMPLES)
@given(EDITS, st.data())
def test_undoing_the_named_edits_makes_a_step_a_hit(
    edits: tuple[Edit, ...], data: st.DataObject
) -> None:
    with TemporaryDirectory() as place:
        lamina, folder = Lamina(Path(place) / "store"), Path(place) / "context"
        project_of(()).build(lamina, folder)
        project_of(edits).build(lamina, folder)
        ran = explained(lamina)
        names = {step["digest"]: step["name"] for step in ran}
        assert all(step["causes"] and step["rootCauses"] for step in ran), ran
        kept = [
            (key, step)
            for step in ran
            for key in INSTRUCTIONS
            if key in step["name"] and all(cause["cause"] != "newStep" for cause in step["causes"])
        ]
        if not kept:
            return
        key, step = data.draw(st.sampled_from(kept), label="step")
        undone = [
            edit
            for edit in edits
            if any(is_named(edit, root, names.get(root["step"], "")) for root in step["rootCauses"])
        ]
        assert undone, (step["name"], step["explanation"])
        project_of(edit for edit in edits if edit not in undone).build(lamina, folder)
        # `COPY --link` is two steps: the copy, and the merge with the files before it.
        again = [
            each
            for each in explained(lamina, "--step", key.strip())
            if key in each["name"] and ("] LINK" in each["name"]) == ("] LINK" in step["name"])
        ]
        assert again
        assert all(each["cached"] for each in again), (
            f"{step['name']}: {step['explanation']}; undone: {undone}; then {again[0]}"
        )
