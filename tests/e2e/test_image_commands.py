"""Docker's commands on images: tag, save, load, history, inspect, prune."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Done, Lamina


@pytest.fixture
def built(lamina: Lamina, context: Callable[..., Path]) -> Lamina:
    folder = context("FROM base\nRUN echo text > /text\nENV A=b\nCMD cat /text\n")
    lamina.build(folder, "-t", "app:1")
    return lamina


def succeeded(done: Done) -> str:
    assert done.code == 0, done.err
    return done.out


def names(lamina: Lamina) -> set[str]:
    return set(succeeded(lamina("image", "ls", "--format", "names")).split())


def test_images_are_saved_and_loaded(
    built: Lamina, machine: Callable[[str], Lamina], tmp_path: Path
) -> None:
    succeeded(built("tag", "app:1", "other/name:2"))
    assert names(built) == {"app:1", "other/name:2"}
    archive = tmp_path / "images.tar"
    succeeded(built("save", "-o", str(archive), "app:1", "other/name:2"))
    there = machine("there")
    out = succeeded(there("load", "-i", str(archive)))
    assert out == "Loaded image: app:1\nLoaded image: other/name:2\n"
    assert names(there) == {"app:1", "other/name:2"}
    assert succeeded(there("run", "app:1")) == "text\n"
    assert "no image named" in built("save", "nothing").err
    done = built("tag", "app:1", "app@sha256:" + "0" * 64)
    assert "is a digest" in done.err


def test_archives_through_pipes(built: Lamina, machine: Callable[[str], Lamina]) -> None:
    saved = subprocess.run(built.command("save", "app:1"), stdout=subprocess.PIPE, check=True)
    there = machine("there")
    assert succeeded(there("image", "load", "-q", stdin=saved.stdout)) == ""
    assert succeeded(there("run", "app:1")) == "text\n"
    assert "contains no image" in there("load", stdin=_tar({"a": b"b"})).err


def test_an_archive_of_old_versions_of_docker(
    built: Lamina, machine: Callable[[str], Lamina], tmp_path: Path
) -> None:
    """Uncompressed layers at their own paths, and no OCI layout."""
    archive = tmp_path / "image.tar"
    succeeded(built("save", "-o", str(archive), "app:1"))
    with tarfile.open(archive) as tar:
        read = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}  # type: ignore[union-attr] # of a file
    (entry,) = json.loads(read["manifest.json"])
    layers = {
        f"{number}/layer.tar": subprocess.run(
            ["gzip", "-dc"], input=read[path], stdout=subprocess.PIPE, check=True
        ).stdout
        for number, path in enumerate(entry["Layers"])
    }
    config = f"{entry['Config'].rpartition('/')[2]}.json"
    manifest = [{"Config": config, "RepoTags": ["old:1", "old:2"], "Layers": list(layers)}]
    old = _tar(
        {"manifest.json": json.dumps(manifest).encode(), config: read[entry["Config"]], **layers}
    )
    there = machine("there")
    assert succeeded(there("load", stdin=old)) == "Loaded image: old:1\nLoaded image: old:2\n"
    assert succeeded(there("run", "old:2")) == "text\n"
    assert succeeded(there("inspect", "-f", "{{.Id}}", "old:1")) == succeeded(
        built("inspect", "-f", "{{.Id}}", "app:1")
    )


def _tar(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return made.getvalue()


def test_an_index_is_saved_with_its_attestations(
    lamina: Lamina, machine: Callable[[str], Lamina], tmp_path: Path, context: Callable[..., Path]
) -> None:
    folder = context("FROM scratch\nCOPY Dockerfile /\n")
    both = ("--platform", "linux/amd64,linux/arm64", "--provenance=mode=max")
    lamina.build(folder, "-t", "both", *both)
    archive = tmp_path / "both.tar"
    succeeded(lamina("save", "-o", str(archive), "both"))
    there = machine("there")
    succeeded(there("load", "-i", str(archive)))
    digest = succeeded(lamina("inspect", "-f", "{{.digest}}", "both"))
    assert succeeded(there("inspect", "-f", "{{.digest}}", "both")) == digest
    (document,) = json.loads(succeeded(there("image", "inspect", "both")))
    assert [image["platform"] for image in document["images"]] == ["linux/amd64", "linux/arm64"]


def test_history_and_inspect(built: Lamina) -> None:
    lines = succeeded(built("history", "app:1")).splitlines()
    assert lines[0].split() == ["IMAGE", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"]
    assert "CMD" in lines[1]
    assert any("RUN /bin/sh -c echo text > /text" in line for line in lines)
    rows = succeeded(built("image", "history", "--format", "json", "app:1")).splitlines()
    assert all(json.loads(row)["CreatedBy"] for row in rows)
    assert len(rows) == len(lines) - 1
    assert succeeded(built("history", "--quiet", "app:1")).splitlines()[1] == "<missing>"
    shown = succeeded(built("inspect", "--format", "{{.Os}} {{index .RepoTags 0}}", "app:1"))
    assert shown == "linux app:1\n"
    assert '"A=b"' in succeeded(built("inspect", "--format", "{{json .Config.Env}}", "app:1"))
    unknown = built("history", "nothing")
    assert unknown.code == 1
    assert "neither a command of history nor an image" in unknown.err
    assert "DONE" in succeeded(built("logs"))


def test_prune_and_info(built: Lamina, context: Callable[..., Path]) -> None:
    built.build(context("FROM base\nRUN echo other\n"))  # an image without a name
    assert len(succeeded(built("images", "-q")).split()) == 2
    assert built("image", "prune", stdin=b"n\n").out == ""
    assert succeeded(built("image", "prune", "-f")).startswith("Deleted: sha256:")
    assert names(built) == {"app:1"}
    assert succeeded(built("info", "--format", "{{.Driver}} {{.Images}}")) == "embedded 1\n"
    assert "OCI runtime:" in succeeded(built("info"))
    assert json.loads(succeeded(built("info", "--format", "json")))["Images"] == 1
    assert succeeded(built("image", "prune", "--all", "-f")).startswith("Untagged: app:1\n")
    assert names(built) == set()
