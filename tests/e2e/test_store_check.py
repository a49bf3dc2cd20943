"""A store with missing files repairs itself, and `lamina check` reports damage."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from lamina.base.digest import digest_of
from lamina.base.errors import Unavailable
from lamina.engine.maintenance.store_check import check_store
from lamina.stores.store import open_store
from lamina.system.cancel import Cancellation
from lamina.system.file_metadata import KERNEL_METADATA
from tests.commands import RemoteLamina

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Lamina

STEPS = """FROM base
RUN mkdir /kept && echo one >/kept/1 && ln /kept/1 /kept/1b && mkfifo /kept/fifo
RUN rm /kept/1b && echo two >/kept/2 && touch -d @1600000000 /kept/2
COPY Dockerfile /kept/
RUN cat /kept/1 /kept/2 >/kept/3
"""


def snapshots(lamina: Lamina) -> list[Path]:
    return sorted((lamina.root / "snapshots").glob("*/"))


def blob(lamina: Lamina, digest: str) -> Path:
    return lamina.root / "blobs" / digest.replace(":", "/")


def query(lamina: Lamina, sql: str) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(lamina.root / "meta.db")) as database, database:
        return database.execute(sql).fetchall()


def flip(path: Path) -> None:
    """Change only one byte."""
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("lost", [0, 2, 4, None])
def test_files_that_are_lost_are_made_again(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path, packed: bool, lost: int | None
) -> None:
    folder = context(STEPS)
    lamina.build(folder, "-o", "type=image,name=x" if packed else "type=cacheonly")
    found = snapshots(lamina)
    for path in found if lost is None else [found[lost % len(found)]]:
        shutil.rmtree(path)
    lamina.build(folder, "-o", f"type=local,dest={tmp_path / 'out'}")
    assert (tmp_path / "out" / "kept" / "3").read_text() == "one\ntwo\n"
    assert not (tmp_path / "out" / "kept" / "1b").exists()
    log = lamina.build(folder, "-o", f"type=local,dest={tmp_path / 'again'}")
    assert log.count("CACHED") == 6
    assert lamina("check").code == 0


def test_a_store_without_damage(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context(STEPS)
    lamina.build(folder, "-t", "x")
    done = lamina("check")
    assert (done.code, done.out.splitlines()[-1][-9:]) == (0, "0 damaged")
    assert "no layer" not in done.out


def test_a_flipped_byte_in_a_state_is_found_and_repaired(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context(STEPS)
    lamina.build(folder, "-t", "x")
    (path,) = (lamina.root / "snapshots").glob("*/fs/kept/2")
    flip(path)
    done = lamina("check")
    assert done.code == 1
    assert "its files differ from its layer" in done.out
    assert "1 damaged" in done.out
    assert path.read_text() != "two\n"
    assert lamina("check", "--repair").code == 0
    assert lamina("check").code == 0
    lamina.build(folder, "-o", f"type=local,dest={tmp_path / 'out'}")
    assert (tmp_path / "out" / "kept" / "2").read_text() == "two\n"


def test_a_damaged_layer_is_packed_again(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context(STEPS)
    out = f"type=oci,dest={tmp_path / 'out.tar'}"
    lamina.build(folder, "-o", out)
    layers = {row[0] for row in query(lamina, "SELECT digest FROM layers")}
    for digest in sorted(layers)[:-1]:
        flip(blob(lamina, digest))
    blob(lamina, max(layers)).unlink()
    done = lamina("check", "--repair")
    assert done.code == 0
    assert done.out.count("does not match its digest") == len(layers) - 1
    assert done.out.count("it is missing") == 1
    lamina.build(folder, "-o", out)
    assert lamina("check").out.endswith("0 damaged\n")
    assert layers == {row[0] for row in query(lamina, "SELECT digest FROM layers")}


def test_an_image_that_cannot_be_made_again_is_named(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    folder = context(STEPS)
    lamina.build(folder, "-t", "x")
    ((manifest,),) = query(lamina, "SELECT digest FROM images")
    flip(blob(lamina, manifest))
    for _ in range(2):
        done = lamina("check", "--repair")
        assert done.code == 1
        assert "image docker.io/library/x:latest" in done.out
        assert "(cannot be repaired)" in done.out
    lamina.build(folder, "-t", "x")
    assert lamina("check").code == 0


def test_rows_that_lead_nowhere_go(lamina: Lamina, context: Callable[..., Path]) -> None:
    lamina.build(context(STEPS), "-t", "x")
    query(lamina, "INSERT INTO leases VALUES ('1-dead', 1, 1)")
    query(lamina, "INSERT INTO results VALUES ('sha256:x', 0, 4711)")
    done = lamina("check")
    assert done.code == 1
    assert "leases: process 1-dead is dead\n" in done.out
    assert "database: 1 results without a snapshot\n" in done.out
    assert lamina("check", "--repair").code == 0
    assert lamina("check").code == 0


def test_one_repair_suffices_for_states_on_top_of_each_other(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context(STEPS)
    lamina.build(folder, "-t", "x")
    for number in "123":
        (path,) = (lamina.root / "snapshots").glob(f"*/fs/kept/{number}")
        path.write_text("damaged\n")
    done = lamina("check", "--repair")
    assert done.code == 0
    assert done.out.count("its files differ from its layer") == 3
    assert lamina("check").code == 0
    lamina.build(folder, "-o", f"type=local,dest={tmp_path / 'out'}")
    texts = [(tmp_path / "out" / "kept" / number).read_text() for number in "123"]
    assert texts == ["one\n", "two\n", "one\ntwo\n"]


@pytest.mark.parametrize("parent", ["4711", "(SELECT MAX(id) FROM snapshots)"])
def test_states_without_the_states_below_are_forgotten(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path, parent: str
) -> None:
    folder = context(STEPS)
    lamina.build(folder, "-t", "x")
    query(lamina, f"UPDATE snapshots SET parent = {parent} WHERE id = 3")
    done = lamina("check")
    assert done.code == 1
    assert "snapshot 3: a parent of it is not recorded\n" in done.out
    assert lamina("check", "--repair").code == 0
    assert lamina("check").code == 0
    lamina.build(folder, "-o", f"type=local,dest={tmp_path / 'out'}")
    assert (tmp_path / "out" / "kept" / "3").read_text() == "one\ntwo\n"


@pytest.mark.parametrize("directory", ["", "..", "../../kept"])
def test_a_repair_removes_only_directories_of_snapshots(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path, directory: str
) -> None:
    lamina.build(context(STEPS), "-o", "type=cacheonly")
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    before = snapshots(lamina)
    query(
        lamina,
        f"UPDATE snapshots SET directory = '{directory}'"
        " WHERE id = (SELECT MAX(id) FROM snapshots)",
    )
    assert lamina("check", "--repair").code == 0
    assert (kept / "file").exists()
    assert set(snapshots(lamina)) >= set(before[:1])
    assert len(snapshots(lamina)) >= len(before) - 1


def test_the_folder_of_all_snapshots_is_made_again(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context(STEPS)
    lamina.build(folder, "-t", "x")
    shutil.rmtree(lamina.root / "snapshots")
    assert lamina("check", "--repair").code == 0
    lamina.build(folder, "-o", f"type=local,dest={tmp_path / 'out'}")
    assert (tmp_path / "out" / "kept" / "3").read_text() == "one\ntwo\n"


def test_rows_of_a_lost_record_go(lamina: Lamina, context: Callable[..., Path]) -> None:
    lamina.build(context(STEPS), "-o", "type=cacheonly")
    query(lamina, "DELETE FROM builds")
    assert "of build_contents refers to no row of builds" in lamina("check").out
    assert lamina("check", "--repair").code == 0
    assert lamina("check").code == 0


def test_files_of_others_beside_the_blobs_do_not_matter(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    lamina.build(context(STEPS), "-t", "x")
    blobs = lamina.root / "blobs"
    (blobs / "sha256" / ".partial.x7Yd").touch()
    (blobs / "stray").touch()
    assert lamina("check").code == 0
    done = lamina("prune", "--all", "-f")
    assert done.code == 0, done.err


@pytest.mark.parametrize("kind", [b"", b"over", b"\xff"])
def test_a_damaged_record_of_the_snapshotter_is_written_again(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path, kind: bytes
) -> None:
    folder = context(STEPS)
    lamina.build(folder, "-t", "x")
    marker = lamina.root / "snapshots" / ".kind"
    before = marker.read_bytes()
    marker.write_bytes(kind)
    assert lamina("check").code == 0
    lamina.build(folder, "-o", f"type=local,dest={tmp_path / 'out'}")
    assert (tmp_path / "out" / "kept" / "3").read_text() == "one\ntwo\n"
    assert marker.read_bytes() == before


def test_a_store_in_use_is_not_checked(tmp_path: Path) -> None:
    with open_store(str(tmp_path)) as store:
        store.blobs.put(b"x")
        with store.shared(), pytest.raises(Unavailable, match="in use"):
            check_store(store, KERNEL_METADATA, Cancellation(), repair=True, found=print)
        flip(tmp_path / "blobs" / digest_of(b"x").replace(":", "/"))
        report = check_store(store, KERNEL_METADATA, Cancellation(), repair=True, found=print)
        assert (report.blobs, report.sound) == (1, True)
        assert not store.blobs.has(digest_of(b"x"))


def test_a_daemons_store_is_checked_on_its_own_machine(tmp_path: Path) -> None:
    done = RemoteLamina(tmp_path, "unix:///nowhere")("check")
    assert done.code == 1
    assert "only be checked on the daemon's machine" in done.err
