"""Mounts, in a child process with a mount namespace."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lamina.system.mount import ShortNames

if TYPE_CHECKING:
    from pathlib import Path

PRELUDE = """
import os, sys
from lamina.base.errors import LaminaError
from lamina.system.mount import *
private_namespace()
os.chdir("/")
"""


def in_namespace(script: str, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + script, *args], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("count", "writable"),
    [(1, True), (2, False), (2, True), (120, True), (499, False), (499, True)],
)
def test_many_layers(tmp_path: Path, count: int, writable: bool) -> None:
    base = tmp_path / ("with:odd,name\\" + "x" * 80)
    lowers = [base / "layers" / f"number-{n}" / "fs" for n in range(count)]
    for n, lower in enumerate(lowers):
        lower.mkdir(parents=True)
        (lower / f"file{n}").touch()
        (lower / "same").write_text(str(n))
    for name in ("upper", "work", "target"):
        (base / name).mkdir()
    script = """
base, writable, *lowers = sys.argv[1:]
upper, work = (base + "/upper", base + "/work") if writable == "yes" else (None, None)
names = ShortNames(base + "/names")
with mounted_overlay(lowers, upper, work, base + "/target", names) as target:
    print(len(os.listdir(target)), open(target + "/same").read(), os.getcwd())
    if upper:
        open(target + "/new", "w").close()
print(os.listdir(base + "/target"))
with mounted_overlay(lowers, upper, work, base + "/target", names) as target:
    assert open(target + "/same").read() == "0"
"""
    shown = in_namespace(script, str(base), "yes" if writable else "no", *map(str, lowers))
    assert shown == f"{count + 1} 0 /\n[]\n"
    assert (base / "upper" / "new").exists() == writable


def test_too_many_layers(tmp_path: Path) -> None:
    script = """
try:
    lowers = [f"/long/name/of/a/layer/{n}" for n in range(501)]
    mount_overlay(lowers, None, None, sys.argv[1], ShortNames(""))
except LaminaError as error:
    print(error.kind)
"""
    assert in_namespace(script, str(tmp_path)) == "unsupported\n"


def test_mounts_die_with_their_process(tmp_path: Path) -> None:
    script = 'mount("tmpfs", sys.argv[1], "tmpfs"); os.kill(os.getpid(), 9)'
    done = subprocess.run([sys.executable, "-c", PRELUDE + script, str(tmp_path)])
    assert done.returncode == -9
    assert not os.path.ismount(tmp_path)


def test_whether_overlay_works(tmp_path: Path) -> None:
    assert in_namespace("print(overlay_works(sys.argv[1]))", str(tmp_path)) == "True\n"
    assert os.listdir(tmp_path) == []


def test_short_names_are_made_once_and_not_kept_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lamina.system.mount._MAX_NAMES", 3)
    names = ShortNames(str(tmp_path / "names"))
    paths = [f"/layer/{number}" for number in range(4)]
    with names.naming(paths[:2]) as (folder, first):
        assert [os.readlink(os.path.join(folder, name)) for name in first] == paths[:2]
    with names.naming(paths) as (folder, second):
        assert second[:2] == first
        assert [os.readlink(os.path.join(folder, name)) for name in second] == paths
    with names.naming(paths[3:]) as (later, third):
        assert os.readlink(os.path.join(later, third[0])) == paths[3]
        assert os.listdir(later) == third
    assert os.listdir(tmp_path / "names") == [os.path.basename(later)]


PROPAGATION = """
import subprocess, sys, time
from lamina.system.mount import *
base = sys.argv[1]
mount("tmpfs", base + "/host", "tmpfs")
child = subprocess.Popen([sys.executable, "-c", '''
import sys
from lamina.system.mount import *
base = sys.argv[1]
private_namespace()
mount("tmpfs", base + "/own", "tmpfs")
print("entered", flush=True)
sys.stdin.readline()
print(open("/proc/self/mountinfo").read())
''', base], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
assert child.stdout.readline() == "entered\\n"
print("own" if base + "/own" in open("/proc/self/mountinfo").read() else "nothing")
unmount(base + "/host")
print("kept" if base + "/host" in child.communicate("go")[0] else "unmounted")
"""


def test_unmounts_propagate_from_the_host_and_mounts_do_not_propagate_to_it(tmp_path: Path) -> None:
    for name in ("host", "own"):
        (tmp_path / name).mkdir()
    # The namespace in the role of the host has shared mounts, as with systemd.
    command = ["unshare", "--mount", "--propagation", "shared", sys.executable, "-c", PROPAGATION]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout == "nothing\nunmounted\n", done.stderr


def test_a_private_tmpfs_is_root_s(tmp_path: Path) -> None:
    script = "private_tmpfs(sys.argv[1]); print(oct(os.stat(sys.argv[1]).st_mode & 0o777))"
    assert in_namespace(script, str(tmp_path)) == "0o700\n"
