"""Special files where regular ones are expected, archives with unusual links, and the builder's
umask."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Done, Lamina

CHOWN = "COPY --chown=somebody:somegroup Dockerfile /\n"


def refused(lamina: Lamina, *args: str) -> Done:
    done = lamina("build", "--progress=plain", *args)
    assert done.code == 1
    assert "Traceback" not in done.err
    return done


@pytest.mark.parametrize(
    ("make", "file"),
    [
        ("mkfifo /etc/passwd", "passwd"),
        ("mkfifo /etc/group", "group"),
        ("mkdir /etc/passwd", "passwd"),
        ("dd if=/dev/zero of=/etc/passwd bs=1M seek=5 count=0", "passwd"),
    ],
)
def test_owners_are_read_only_from_regular_files(
    lamina: Lamina, context: Callable[..., Path], make: str, file: str
) -> None:
    folder = context(f"FROM base\nRUN mkdir -p /etc && {make}\n{CHOWN}")
    done = refused(lamina, str(folder))
    assert f"/etc/{file} of the image is no regular file" in done.err


def test_ids_out_of_range_match_no_user(lamina: Lamina, context: Callable[..., Path]) -> None:
    lines = "somebody:x:99999999999:5::/:\\nsomebody:x:7:8::/:"
    steps = f"FROM base\nRUN mkdir -p /etc && printf '{lines}\\n' >/etc/passwd\n"
    copy = "COPY --chown=somebody Dockerfile /\nRUN stat -c owner:%u:%g /Dockerfile\n"
    assert "owner:7:8\n" in lamina.build(context(steps + copy))


def test_a_context_whose_files_are_pipes_is_refused(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    folder = context("FROM base\n")
    os.mkfifo(folder / ".dockerignore")
    assert ".dockerignore is not a regular file" in refused(lamina, str(folder)).err
    os.unlink(folder / ".dockerignore")
    os.unlink(folder / "Dockerfile")
    os.mkfifo(folder / "Dockerfile")
    assert "Dockerfile in " in (err := refused(lamina, str(folder)).err)
    assert "is not a regular file" in err


def test_a_dockerfile_named_by_a_flag_may_be_a_pipe(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    folder = context("FROM base\n")
    text = (folder / "Dockerfile").read_text() + "RUN echo from a pipe\n"
    reader, writer = os.pipe()
    os.write(writer, text.encode())
    os.close(writer)
    command = lamina.command("build", "--progress=plain", "-f", f"/dev/fd/{reader}", str(folder))
    done = subprocess.run(command, pass_fds=[reader], capture_output=True, text=True, timeout=60)
    os.close(reader)
    assert done.returncode == 0, done.stderr
    assert "from a pipe" in done.stderr


@pytest.mark.parametrize("kind", ["link", "fifo"])
@pytest.mark.parametrize("which", ["index.json", "blob"])
def test_layouts_with_links_or_pipes_are_refused(
    lamina: Lamina, machine: Callable[[str], Lamina], context: Callable[..., Path], tmp_path: Path,
    kind: str, which: str,
) -> None:  # fmt: skip
    layout = tmp_path / "layout"
    folder = context("FROM base\n")
    lamina.build(folder, "-o", f"type=oci,tar=false,dest={layout}")
    path = layout / "index.json"
    if which == "blob":
        path = min((layout / "blobs" / "sha256").iterdir())
    if kind == "link":
        os.rename(path, tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    else:
        os.unlink(path)
        os.mkfifo(path)
    (folder / "Dockerfile").write_text("FROM x\nCOPY Dockerfile /\nRUN true\n")
    done = refused(machine("other"), "--build-context", f"x=oci-layout://{layout}", str(folder))
    assert f"{path} is not a regular file" in done.err


def archive(*members: tuple[str, bytes, str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, kind, link in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, link, 4 if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(b"text") if info.size else None)
    return packed.getvalue()


def test_links_of_an_archive_are_resolved_at_its_root(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context("FROM base\nADD a.tar.gz /testsubdir/\n")
    (folder / "a.tar.gz").write_bytes(
        archive(
            ("symldir1", tarfile.SYMTYPE, ".."),
            ("symldir1/etc/myfile", tarfile.REGTYPE, ""),
            ("far", tarfile.SYMTYPE, "../../../../.."),
            ("far/other", tarfile.REGTYPE, ""),
        )
    )
    lamina.build(folder, "-o", f"type=local,dest={tmp_path / 'out'}")
    inside = tmp_path / "out" / "testsubdir"
    assert (inside / "etc" / "myfile").read_text() == "text"
    assert (inside / "other").read_text() == "text"
    assert os.readlink(inside / "symldir1") == ".."
    assert not (tmp_path / "out" / "etc").exists()


@pytest.mark.parametrize(
    "member",
    [
        ("../out", tarfile.REGTYPE, ""),
        ("hard", tarfile.LNKTYPE, "nothing"),
        ("d/" * 3000 + "f", tarfile.REGTYPE, ""),
    ],
)
def test_errors_about_archives_name_the_archive(
    lamina: Lamina, context: Callable[..., Path], member: tuple[str, bytes, str]
) -> None:
    folder = context("FROM base\nADD a.tar.gz /x/\n")
    (folder / "a.tar.gz").write_bytes(archive(("file", tarfile.REGTYPE, ""), member))
    done = refused(lamina, str(folder))
    assert "malformed archive /a.tar.gz: " in done.err
    assert "layer" not in done.err.rpartition("ERROR:")[2]


def test_a_damaged_archive_fails_only_its_build(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    folder = context("FROM base\nADD a.tar.gz /x/\n")
    data = archive(*((f"file{number}", tarfile.REGTYPE, "") for number in range(5000)))
    (folder / "a.tar.gz").write_bytes(data[: len(data) // 2])
    assert "ends early" in refused(lamina, str(folder)).err
    assert [name for name in os.listdir(lamina.root / "tmp") if name != "ingest"] == []


def test_modes_in_a_step_do_not_depend_on_the_umask_of_lamina(
    machine: Callable[[str], Lamina], context: Callable[..., Path]
) -> None:
    steps = """FROM scratch
COPY --from=base / /
ADD a.tar.gz /a/b/
WORKDIR /w/x
USER 1001
RUN --mount=type=cache,target=/c --mount=type=cache,target=/d,from=base,source=bin \
    stat -c "mode %a %n" / /a /a/b /a/b/implied /c /d /w /w/x
"""
    folder = context(steps)
    (folder / "a.tar.gz").write_bytes(archive(("implied/file", tarfile.REGTYPE, "")))
    for umask in (0o022, 0o077):
        before = os.umask(umask)
        try:
            log = machine(f"umask{umask}").build(folder)
        finally:
            os.umask(before)
        modes = [line.split("mode ")[1] for line in log.splitlines() if " mode " in line]
        assert modes == [f"755 {path}" for path in steps.rpartition('%n" ')[2].split()]
