"""Builds of ordinary users: owners, devices, steps, stores."""

from __future__ import annotations

import io
import json
import stat
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.commands import Lamina
from tests.ordinary_user import UserLamina
from tests.real_registry import running_registry
from tests.rootless.conftest import write_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.ordinary_user import OrdinaryUser


def layers_of(archive: Path) -> list[tarfile.TarFile]:
    """The layers of an OCI archive."""
    with tarfile.open(archive) as outer:

        def read(name: str) -> bytes:
            file = outer.extractfile(name)
            assert file is not None
            return file.read()

        def blob(digest: str) -> bytes:
            return read("blobs/" + digest.replace(":", "/"))

        index = json.loads(read("index.json"))
        manifest = json.loads(blob(index["manifests"][0]["digest"]))
        return [
            tarfile.open(fileobj=io.BytesIO(blob(layer["digest"]))) for layer in manifest["layers"]
        ]


def member(archive: Path, name: str) -> tarfile.TarInfo:
    for layer in reversed(layers_of(archive)):
        if name in layer.getnames():
            return layer.getmember(name)
    raise AssertionError(f"no {name} in {archive}")


def test_an_image_is_built_and_pushed(
    user_lamina: UserLamina, user_context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = user_context("RUN id -u > /id && test $(id -u) = 0 && touch /made\n")
    with running_registry(tmp_path) as registry:
        user_lamina.build(folder, "-t", f"{registry}/image:1", "--push")
        second = write_context(
            user_lamina.user, f"FROM {registry}/image:1\nRUN test -e /made && cat /id\n"
        )
        other = UserLamina(user_lamina.user, "other")
        assert "#" in other.build(second)


def test_owners_that_are_not_mapped_are_in_layers(
    user_lamina: UserLamina, user_context: Callable[..., Path]
) -> None:
    folder = user_context(
        "COPY --chown=3000000:4000000 one /one\n"
        "COPY --chown=5:70000 folder /folder\n"
        "RUN echo more >> /one && mv /folder/file /folder/moved && chmod 700 /folder\n",
        {"one": "1\n", "folder/file": "2\n"},
    )
    (folder / "folder" / "link").symlink_to("file")
    out = user_lamina.user.home / "out.tar"
    user_lamina.build(folder, "-o", f"type=oci,dest={out}")

    def owner(name: str) -> tuple[int, int]:
        found = member(out, name)
        return found.uid, found.gid

    assert owner("one") == (3000000, 4000000)  # copied up by the step
    assert owner("folder") == (5, 70000)
    assert stat.S_IMODE(member(out, "folder").mode) == 0o700
    assert owner("folder/moved") == (5, 70000)
    assert owner("folder/link") == (5, 70000)


def test_layers_equal_those_of_root(
    user_lamina: UserLamina, user_context: Callable[..., Path], lamina: Lamina, tmp_path: Path
) -> None:
    folder = user_context(
        "FROM base AS archive\n"
        "ADD foreign.tar /foreign\n"
        "RUN mv /foreign/0/33-0 /foreign/2/0-44 /foreign/4/12-13 /\n"
        "FROM scratch\n"
        "COPY --from=archive / /all\n"
        "COPY --from=base --chown=7:8 --chmod=4755 /bin/busybox /copy\n"
    )
    with tarfile.open(folder / "foreign.tar", "w") as archive:
        for number, kind in enumerate(
            (
                tarfile.REGTYPE,
                tarfile.DIRTYPE,
                tarfile.SYMTYPE,
                tarfile.FIFOTYPE,
                tarfile.CHRTYPE,
                tarfile.BLKTYPE,
            )
        ):
            for uid, gid in ((0, 0), (33, 0), (0, 44), (12, 13), (1_000_000, 5), (6, 2_000_000)):
                info = tarfile.TarInfo(f"{number}/{uid}-{gid}")
                info.type, info.uid, info.gid, info.mtime = kind, uid, gid, 1_500_000_000
                info.mode = 0o4755
                info.linkname = "target" if kind == tarfile.SYMTYPE else ""
                info.devmajor, info.devminor = (1, 3) if number > 3 else (0, 0)
                archive.addfile(info)
    user_lamina.user.own(folder)
    files = {}
    for each, place in ((lamina, tmp_path), (user_lamina, user_lamina.user.home)):
        out = place / "out.tar"
        each.build(
            folder,
            "-o",
            f"type=oci,dest={out},rewrite-timestamp=true",
            "--build-arg",
            "SOURCE_DATE_EPOCH=1600000000",
        )
        files[place] = [[m.get_info() for m in layer] for layer in layers_of(out)]
    assert files[tmp_path] == files[user_lamina.user.home]


def test_a_step_without_ranges_names_the_remedy(single: OrdinaryUser) -> None:
    lamina = UserLamina(single)
    folder = write_context(single, "RUN touch /a && chown 33 /a\n")
    done = lamina("build", "--progress=plain", str(folder))
    assert done.code == 1
    assert "Invalid argument" in done.err
    assert "--add-subuids" in done.err
    folder = write_context(single, "USER 33\nRUN true\n")
    done = lamina("build", "--progress=plain", str(folder))
    assert "the user 33:0 does not exist in the user namespace" in done.err
    assert "--add-subuids" in done.err


def test_the_limits_are_reported_once(single: OrdinaryUser) -> None:
    lamina = UserLamina(single)
    folder = write_context(single, "RUN true\n")
    assert "no ranges in /etc/subuid" in lamina.build(folder)
    assert "ranges" not in lamina.build(folder, "--no-cache")


def test_the_store_of_another_user_is_refused(
    ranged: OrdinaryUser, lamina: Lamina, context: Callable[..., Path]
) -> None:
    lamina.build(context("RUN true\n"))
    theirs = UserLamina(ranged)
    theirs.build(write_context(ranged, "RUN true\n"))
    done = Lamina(theirs.root)("images")
    assert done.code == 1
    assert f"belongs to the user with the ID {ranged.uid}, and this is 0" in done.err
    for above in lamina.root.parents[:3]:
        above.chmod(above.stat().st_mode | 0o055)
    theirs.root = lamina.root
    done = theirs("images")
    assert done.code == 1
    assert "belongs to the user with the ID 0" in done.err


def test_other_ranges_need_another_store(ranged: OrdinaryUser, single: OrdinaryUser) -> None:
    lamina = UserLamina(ranged)
    lamina.build(write_context(ranged, "RUN true\n"))
    (lamina.root / "snapshots" / ".ids").write_text("0:1:1;0:1:1")
    done = lamina("build", str(ranged.home / "context"))
    assert done.code == 1
    assert "were made with other user and group IDs" in done.err


@pytest.mark.parametrize("command", [("du",), ("prune", "--all", "--force"), ("check",)])
def test_files_of_other_ids_are_maintained(ranged: OrdinaryUser, command: tuple[str, ...]) -> None:
    lamina = UserLamina(ranged)
    folder = write_context(
        ranged, "RUN mkdir -m 700 /d && touch /d/f && chown -R 12:13 /d && chmod 600 /d/f\n"
    )
    lamina.build(folder)
    done = lamina(*command)
    assert done.code == 0, done.err
    if command[0] == "prune":
        left = [path.name for path in (lamina.root / "snapshots").iterdir()]
        assert not [name for name in left if not name.startswith(".")]
