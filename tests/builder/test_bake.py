"""`Builder.bake`: targets of bake files, Python build files among them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

import lamina

if TYPE_CHECKING:
    from pathlib import Path

DEFINITION = """
variable "WORD" { default = "nothing" }
group "default" { targets = ["one", "two"] }
target "one" {
  dockerfile-inline = <<EOT
FROM scratch
COPY busybox /bin/sh
ARG WORD
RUN echo $WORD > /word
EOT
  args = { WORD = WORD }
  tags = ["one"]
}
target "two" {
  dockerfile-inline = "FROM scratch\\nCOPY word /\\n"
  output = ["type=local,dest=out"]
}
target "fails" {
  dockerfile-inline = "FROM scratch\\nCOPY busybox /bin/sh\\nRUN exit 3\\n"
}
target "asks" { call = "outline" }
target "prints" {
  dockerfile-inline = "FROM scratch\\nCOPY word /\\n"
  output = ["type=tar,dest=-"]
}
target "outside" { context = "/usr/share" }
"""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy("/bin/busybox", folder / "busybox")
    (folder / "word").write_text("of a file")
    (folder / "docker-bake.hcl").write_text(DEFINITION)
    monkeypatch.chdir(folder)
    return folder


def test_targets_are_built(builder: lamina.Builder, directory: Path) -> None:
    names: list[str] = []

    def note(event: lamina.Event) -> None:
        if isinstance(event, lamina.VertexEvent):
            names.append(event.name)

    results = builder.bake(variables={"WORD": "given"}, on_event=note)
    assert set(results) == {"one", "two"}
    assert results["one"].digest.startswith("sha256:")
    assert (directory / "out/word").read_text() == "of a file"
    assert any(name.startswith("[one 2/2] RUN echo") for name in names), names


def test_overrides_and_switches(embedded: lamina.Builder) -> None:
    overrides = {"one.args.WORD": "other", "one.tags": ["a", "b"]}
    [result] = embedded.bake("one", overrides=overrides, no_cache=True).values()
    assert embedded.run("b", ["/bin/sh", "-c", "read w < /word; echo $w"]).stdout == b"other\n"
    assert embedded.inspect("a")["digest"] == result.digest


def test_events_are_iterated(builder: lamina.Builder) -> None:
    with builder.start_bake("two") as running:
        assert [event for event in running if isinstance(event, lamina.VertexEvent)]
        assert set(running.result()) == {"two"}


def test_a_failing_target(builder: lamina.Builder) -> None:
    with pytest.raises(lamina.CommandFailed, match="exit code: 3") as caught:
        builder.bake("fails")
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("target", "kind", "reason"),
    [
        ("none", lamina.NotFound, 'no target "none"'),
        ("asks", lamina.Unsupported, "target asks is a call"),
        ("prints", lamina.InvalidInput, "type=tar needs a dest"),
        ("outside", lamina.PermissionDenied, r'(?s)not granted.*allow=\["fs.read=/usr/share"\]'),
    ],
)
def test_errors(
    embedded: lamina.Builder, target: str, kind: type[lamina.LaminaError], reason: str
) -> None:
    with pytest.raises(kind, match=reason) as caught:
        embedded.bake(target)
    assert caught.value.location is not None
    assert caught.value.location.filename == __file__


def test_no_bake_file(embedded: lamina.Builder, directory: Path) -> None:
    (directory / "docker-bake.hcl").unlink()
    with pytest.raises(lamina.NotFound, match="no bake file"):
        embedded.bake()
    with pytest.raises(lamina.InvalidInput):
        embedded.bake(files=["busybox"])
