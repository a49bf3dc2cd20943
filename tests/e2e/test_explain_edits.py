"""After random edits, each step that ran has a cause, and undoing the causes that `lamina explain`
names makes it a cache hit again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.commands import Lamina
from tests.conftest import BASE

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDERS = ("one", "two")
NAMES = ("a", "b", "c")
LINES = ("RUN echo first", "COPY one /one", "RUN echo $V", "COPY two /two", "RUN echo last")


class Project(NamedTuple):
    """`lines` are the instructions by their position, `files` the contents by path."""

    lines: Mapping[float, str]
    files: Mapping[str, str]
    argument: str = "1"

    def build(self, lamina: Lamina, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        for name in FOLDERS:
            (folder / name).mkdir(parents=True)
        shutil.copy("/bin/busybox", folder / "busybox")
        for path, content in self.files.items():
            (folder / path).write_text(content)
        lines = [self.lines[place] for place in sorted(self.lines)]
        text = "\n".join([BASE + "FROM base\nARG V", *lines, ""])
        (folder / "Dockerfile").write_text(text)
        lamina.build(folder, f"--build-arg=V={self.argument}")


PATHS = st.builds("{}/{}".format, st.sampled_from(FOLDERS), st.sampled_from(NAMES))
FIRST = Project(dict(enumerate(LINES)), {f"{folder}/a": "x" for folder in FOLDERS})
EDITED = st.builds(
    Project,
    st.builds(
        lambda changed, added: {
            **{
                place: f"{line}; true" if place in changed and line.startswith("RUN") else line
                for place, line in enumerate(LINES)
            },
            **{place + 0.5: f"RUN echo new {place}" for place in added},
        },
        st.sets(st.integers(0, 4), max_size=2),
        st.sets(st.integers(0, 4), max_size=1),
    ),
    st.dictionaries(PATHS, st.sampled_from(["x", "yy"]), max_size=3),
    st.sampled_from(["1", "1", "2"]),
)


def explained(lamina: Lamina, *args: str) -> list[dict[str, Any]]:
    done = lamina("explain", "--format=json", *args)
    assert done.code == 0, done.err
    steps: list[dict[str, Any]] = json.loads(done.out)["steps"]
    return steps


def undone(project: Project, step: dict[str, Any], names: dict[str, str]) -> Project:
    """The project without the edits that are root causes of a step."""
    lines, files, argument = dict(project.lines), dict(project.files), project.argument
    for root in step["rootCauses"]:
        text = names[root["step"]].replace(f"echo {project.argument}", "echo $V")
        match root["cause"]:
            case "filesChanged":
                for change in root["paths"]:
                    for path in {*FIRST.files, *files}:
                        if f"{path}/".startswith(change["path"].rstrip("/") + "/"):
                            files.pop(path, None)
                            if path in FIRST.files:
                                files[path] = FIRST.files[path]
            case "variableChanged":
                assert (root["name"], root["before"]) == ("V", FIRST.argument)
                argument = FIRST.argument
            case "textChanged":
                (place,) = [place for place, line in project.lines.items() if line == text]
                lines[place] = FIRST.lines[place]
            case "newStep":
                (place,) = [place for place, line in project.lines.items() if line == text]
                del lines[place]
            case other:
                raise AssertionError(f"an edit that nobody made: {other}")
    return Project(lines, files, argument)


@settings(max_examples=4)
@given(EDITED, st.data())
def test_undoing_the_causes_makes_a_step_a_hit(edited: Project, data: st.DataObject) -> None:
    with TemporaryDirectory() as place:
        lamina, folder = Lamina(Path(place) / "store"), Path(place) / "context"
        FIRST.build(lamina, folder)
        edited.build(lamina, folder)
        ran = explained(lamina)
        assert all(step["causes"] and step["rootCauses"] for step in ran)
        names = {step["digest"]: step["name"].partition("] ")[2] for step in ran}
        kept = [s for s in ran if all(cause["cause"] != "newStep" for cause in s["causes"])]
        if not kept:
            return
        step = data.draw(st.sampled_from(kept))
        project = undone(edited, step, names)
        project.build(lamina, folder)
        text = names[step["digest"]]
        if any(cause["cause"] == "textChanged" for cause in step["causes"]):
            text = text.removesuffix("; true")
        text = text.replace(f"echo {edited.argument}", f"echo {project.argument}")
        (again,) = [s for s in explained(lamina, "--step", text) if s["name"].endswith(text)]
        assert again["cached"], again["explanation"]
