"""If another kind of file is found where a regular one is expected, no descriptor stays open."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from lamina.base.errors import InvalidInput, NotFound
from lamina.cacheio.mount_scan import pieces
from lamina.engine.frontends.result_files import read_file
from lamina.refs.tree import Tree
from lamina.runtime.users import find_identity
from lamina.session.validators import Validators

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def scanned(folder: Path) -> None:
    with suppress(FileNotFoundError):
        list(pieces(str(folder / "etc/passwd")))


def validated(folder: Path) -> None:
    before = os.stat(__file__)  # it was a regular file when its directory was listed
    Validators(str(folder)).of(str(folder / "etc/passwd"), before)


def read_by_a_frontend(folder: Path) -> None:
    with pytest.raises(InvalidInput, match="read /etc/passwd: not a regular file"):
        read_file(Tree(str(folder)), "/etc/passwd")


def looked_up(folder: Path) -> None:
    with pytest.raises(NotFound, match='no user named "bob"'):
        find_identity(str(folder), "bob")


@pytest.mark.parametrize("use", [scanned, validated, read_by_a_frontend, looked_up])
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_files_of_the_wrong_type_leak_no_descriptor(
    tmp_path: Path, use: Callable[[Path], None], make: Callable[[Path], None]
) -> None:
    (tmp_path / "etc").mkdir()
    make(tmp_path / "etc/passwd")
    use(tmp_path)
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        use(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == len(before)
