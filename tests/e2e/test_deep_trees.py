"""Deep trees that a step leaves behind never stop the store."""

from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING

import pytest

from lamina.system.descent import Descent
from lamina.system.removal import discard_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.commands import Lamina

NEST = "p=d; while [ ${#p} -lt 1199 ]; do p=$p/d; done"
DEEP = f"RUN mkdir /t && cd /t && {NEST} && mkdir -p $p && echo here > $p/file\n"
TOO_DEEP = f"""RUN --mount=type=cache,target=/cache for top in /t /cache; do \
    mkdir -p $top && cd $top && {NEST} && \
    for i in 1 2 3 4 5; do mkdir -p $p; mv old $p/; mv d old; done; done 2>/dev/null; true
"""
FINE = "FROM base\nRUN echo fine\n"


@pytest.fixture(autouse=True)
def cleaned(tmp_path: Path) -> Iterator[None]:
    """pytest itself cannot remove such trees."""
    yield
    discard_tree(str(tmp_path))


def leftovers(lamina: Lamina) -> list[str]:
    return [name for name in os.listdir(lamina.root / "snapshots") if not name.startswith(".")]


def test_a_deep_tree_is_built_copied_and_exported(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    dockerfile = f"FROM base AS deep\n{DEEP}FROM base\nCOPY --from=deep /t /u\nRUN touch /u/d/x\n"
    folder = context(dockerfile)
    lamina.build(folder, "-o", f"type=local,dest={tmp_path / 'out'}", "-t", "deep")
    path = tmp_path / "out" / "u" / "/".join("d" * 600) / "file"
    assert path.read_text() == "here\n"
    lamina.build(folder, "-o", f"type=oci,dest={tmp_path / 'out.tar'}")
    for command in (("du",), ("prune", "-af")):
        assert lamina(*command).code == 0
    assert leftovers(lamina) == []


def test_a_tree_deeper_than_path_max_fails_only_its_own_build(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    out = f"type=oci,dest={tmp_path / 'out.tar'}"
    folder = context(f"FROM base\n{TOO_DEEP}")
    done = lamina("build", "-o", out, str(folder))
    assert done.code == 1
    assert "File name too long" in done.err
    assert "Traceback" not in done.err
    assert len(done.err) < 10_000
    lamina.build(context(FINE))
    assert lamina("du").code == 0
    assert lamina("prune", "-af").code == 0
    assert leftovers(lamina) == []
    assert [name for name in os.listdir(lamina.root / "mounts") if "lock" not in name] == []


def test_an_archive_as_context_may_be_deep(lamina: Lamina) -> None:
    path = "/".join("d" * 1500)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, text in (("Dockerfile", b"FROM scratch\nCOPY . /x\n"), (f"{path}/f", b"deep")):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
    done = lamina("build", "-o", "type=cacheonly", "-", stdin=packed.getvalue())
    assert done.code == 0, done.err


@pytest.mark.parametrize("place", ["tmp/1-dead/fs", "snapshots/unknown"])
def test_a_store_that_holds_a_deep_tree_opens_and_is_pruned(
    lamina: Lamina, context: Callable[..., Path], place: str
) -> None:
    folder = context(FINE)
    lamina.build(folder)
    top = lamina.root / place
    top.mkdir(parents=True)
    if place.startswith("tmp"):
        (lamina.root / "tmp" / "1-dead.lock").touch()
    with Descent(str(top)) as descent:
        for _ in range(5000):
            os.mkdir("d", dir_fd=descent.fd)
            descent.enter("d")
    lamina.build(folder)
    assert lamina("prune", "-af").code == 0
    assert not top.exists()
