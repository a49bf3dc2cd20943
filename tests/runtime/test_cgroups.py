from __future__ import annotations

import glob
import os
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from lamina.base.errors import InvalidInput
from lamina.runtime.cgroups import group_below, make_group, remove_cgroup, sweep_cgroups

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize(
    ("parent", "place"),
    [
        ("", "/lamina"),
        ("foo", "/foo"),
        ("//foo//bar/", "/foo/bar"),
        ("/", ""),
        ("../../etc", "/etc"),
        ("a/../../..", ""),
        ("a.slice", "/a.slice"),
        ("a-b-c.slice:mine:", "/a.slice/a-b.slice/a-b-c.slice"),
    ],
)
def test_a_group_is_made_below_its_parent(parent: str, place: str) -> None:
    path = group_below(parent)
    assert path.rpartition("/")[0] == place
    assert path != group_below(parent)


def test_null_bytes_in_a_parent() -> None:
    with pytest.raises(InvalidInput):
        group_below("a\0b")


@pytest.fixture
def place() -> Iterator[str]:
    """A parent of groups that does not exist yet."""
    name = f"/lamina-test-{os.getpid()}"
    yield name
    for folder in glob.glob(f"/sys/fs/cgroup/**{name}/**/", recursive=True)[::-1]:
        os.rmdir(folder)


def folders(place: str) -> set[str]:
    """The paths below a parent, in all hierarchies that have them."""
    found = glob.glob(f"/sys/fs/cgroup/*{place}/**/", recursive=True)
    return {folder.rstrip("/").partition(place)[2] for folder in found}


def test_the_last_group_takes_the_folders_above_it_away(place: str) -> None:
    first, second = group_below(f"{place}/a/b"), group_below(f"{place}/a")
    make_group(first)
    make_group(second)
    assert {"/a", "/a/b"} < folders(place)
    remove_cgroup(first)
    assert folders(place) == {"", "/a", second.removeprefix(place)}
    remove_cgroup(second)
    assert folders(place) == set()


def test_groups_are_removed_with_everything_below_them(place: str) -> None:
    """A privileged step can nest groups deeper than Python's recursion limit and the maximum path
    length."""
    path = group_below(place)
    make_group(path)
    (memory, *_) = glob.glob(f"/sys/fs/cgroup/memory{path}") or [f"/sys/fs/cgroup{path}"]
    descriptor = os.open(memory, os.O_RDONLY)
    for _ in range(1100):
        os.mkdir("nested", dir_fd=descriptor)
        below = os.open("nested", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    member = subprocess.Popen(["sleep", "60"])
    try:
        procs = os.open("cgroup.procs", os.O_WRONLY, dir_fd=descriptor)
        os.close(descriptor)
        with open(procs, "w") as file:
            file.write(str(member.pid))
        remove_cgroup(path)
        assert member.wait(10) == -signal.SIGKILL
    finally:
        member.kill()
    assert folders(place) == set()


def test_old_empty_groups_of_other_pid_namespaces_are_removed(place: str) -> None:
    names = {
        kind: f"{place}/1-{os.getpid()}-{number}-abc"
        for number, kind in enumerate(("old", "used", "new"))
    }
    for path in names.values():
        make_group(f"{path}/run")
    member = subprocess.Popen(["sleep", "60"])
    try:
        for folder in glob.glob(f"/sys/fs/cgroup/*{names['used']}/run/cgroup.procs"):
            # In version 1, a cpuset accepts no processes until its processors are set.
            with suppress(OSError), open(folder, "w") as file:
                file.write(str(member.pid))
        for kind in ("old", "used"):
            for folder in glob.glob(f"/sys/fs/cgroup/*{names[kind]}"):
                os.utime(folder, (1, 1))
        sweep_cgroups(place)
        left = folders(place)
        assert names["old"].removeprefix(place) not in left
        for kind in ("used", "new"):
            assert names[kind].removeprefix(place) + "/run" in left
    finally:
        member.kill()
        member.wait()
