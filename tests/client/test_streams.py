"""Files that a build writes: links, pipes, devices, and closed descriptors."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Lamina

TEXT = "FROM scratch\nCOPY Dockerfile /file\n"


def started(builder: Lamina, *args: str, shell: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command as `"$@"` of a shell's command line."""
    return subprocess.run(
        ["sh", "-c", shell, "sh", *builder.command("build", *args)],
        env=builder.environment(),
        capture_output=True,
        timeout=60,
    )


def test_a_link_to_standard_output_stays_and_takes_the_id(
    builder: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    link, log = tmp_path / "link", tmp_path / "log"
    link.symlink_to("/proc/self/fd/1")
    log.write_text("before\n")
    for option in (f"--iidfile={link}", f"--metadata-file={link}", f"-o=type=tar,dest={link}"):
        args = ("--progress=plain", option, str(context(TEXT)))
        done = started(builder, *args, shell=f'"$@" >>{log}; echo after >>{log}')
        assert done.returncode == 0, done.stderr
        assert link.is_symlink()
        written = log.read_bytes()
        assert written.startswith(b"before\n")
        assert written.endswith(b"after\n")
        assert any(part in written for part in (b"sha256:", b'"containerimage.digest"', b"ustar"))
        log.write_text("before\n")


@pytest.mark.parametrize("option", ["--iidfile={}", "--metadata-file={}", "-o=type=oci,dest={}"])
def test_the_target_of_a_link_is_replaced_with_its_mode(
    builder: Lamina, context: Callable[..., Path], tmp_path: Path, option: str
) -> None:
    link, real = tmp_path / "link", tmp_path / "folder/real"
    real.parent.mkdir()
    real.write_text("earlier")
    real.chmod(0o640)
    link.symlink_to("folder/real")
    builder.build(context(TEXT), option.format(link))
    assert link.is_symlink()
    assert real.read_bytes() not in (b"earlier", b"")
    if "iidfile" not in option:  # the earlier ID is removed before the build
        assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert os.listdir(real.parent) == ["real"]


def test_a_device_takes_everything_and_stays(
    builder: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    null = tmp_path / "null"
    os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    options = (f"--iidfile={null}", f"--metadata-file={null}", f"-o=type=docker,dest={null}")
    builder.build(context(TEXT), *options)
    assert stat.S_ISCHR(null.stat().st_mode)


@pytest.mark.parametrize("opened", [False, True], ids=["no reader", "a reader that sleeps"])
def test_writing_to_a_full_pipe_can_be_interrupted(
    builder: Lamina, context: Callable[..., Path], tmp_path: Path, opened: bool
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    folder = str(context("FROM base\n"))
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK) if opened else -1
    with subprocess.Popen(
        builder.command("build", "--progress=plain", f"-o=type=tar,dest={pipe}", folder),
        env=builder.environment(),
        stderr=subprocess.DEVNULL,
    ) as process:
        time.sleep(2)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 128 + signal.SIGTERM
    if opened:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_closed_descriptors(builder: Lamina, context: Callable[..., Path], tmp_path: Path) -> None:
    folder = str(context("FROM base\nRUN echo said\n"))
    for shell in ('"$@" <&-', '"$@" >&-', '"$@" 2>&-', '"$@" <&- >&- 2>&-'):
        done = started(builder, "--progress=plain", "--no-cache", folder, shell=shell)
        assert done.returncode == 0, done.stderr
    for path in tmp_path.rglob("*lock*"):
        if path.is_file():
            assert b"[internal]" not in path.read_bytes()
    done = started(builder, "-", shell='"$@" <&-')
    assert b"standard input is empty" in done.stderr
    done = started(builder, "-o", "type=tar,dest=-", folder, shell='"$@" >&-')
    assert done.returncode == 1
    assert b"ERROR: standard output is closed" in done.stderr
