"""A directory that is read in place, with the patterns of its source op."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import pytest

from lamina.base.errors import NotFound
from lamina.refs.live_tree import LiveTree
from lamina.refs.ref import Ref
from lamina.refs.selection import Selector, digest_selection, expand_wildcard
from lamina.session.contract import FolderRequest, ProvidedFolder
from lamina.sources.local import LocalSource
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lamina.session.contract import ContentStore


class Context(NamedTuple):
    """The part of `lamina.solver.contract.OpContext` that a directory needs."""

    cancel: Cancellation


class Client:
    id = ""
    in_process = False

    def __init__(self, folder: ProvidedFolder) -> None:
        self._folder = folder

    def folder(
        self, name: str, wanted: FolderRequest, cancel: Cancellation, progress: object = None
    ) -> ProvidedFolder:
        return self._folder

    def secret(self, secret_id: str, cancel: Cancellation) -> bytes | None:
        return None

    def ssh_socket(self, agent_id: str, cancel: Cancellation) -> str | None:
        return None

    def upload(self, host: str, path: str, cancel: Cancellation) -> Iterator[bytes]:
        raise NotFound(f"no upload {path}")

    def content(self, store: str) -> ContentStore:
        raise NotFound(f"no layout {store}")


@pytest.mark.parametrize(
    ("attrs", "filtered", "expected"),
    [
        ({}, False, ["a.md", "d", "d/b.md", "d/c", "l"]),
        ({"local.excludepatterns": ["**/*.md"]}, False, ["d", "d/c", "l"]),
        ({"local.excludepatterns": ["*", "!d/b.md"]}, False, ["d", "d/b.md"]),
        ({"local.includepattern": ["**/*.md"]}, False, ["a.md", "d", "d/b.md"]),
        (
            {"local.includepattern": ["d"], "local.excludepatterns": ["d/c"]},
            False,
            ["d", "d/b.md"],
        ),
        (
            {"local.includepattern": ["a.md"], "local.followpaths": ["l"]},
            False,
            ["a.md", "d", "d/c", "l"],
        ),
        ({"local.followpaths": ["a.md"]}, False, ["a.md", "d", "d/b.md", "d/c", "l"]),
        # A filtered directory is used unchanged.
        ({"local.excludepatterns": ["a.md"]}, True, ["a.md", "d", "d/b.md", "d/c", "l"]),
    ],
)
def test_the_patterns_of_an_op(
    tmp_path: Path, attrs: dict[str, list[str]], filtered: bool, expected: list[str]
) -> None:
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    for name in ("a.md", "d/b.md", "d/c"):
        (root / name).write_text(name)
    (root / "l").symlink_to("d/c")
    encoded = {key: json.dumps(value) for key, value in attrs.items()}
    session = Client(ProvidedFolder(str(root), filtered))
    source = LocalSource("context", encoded, session, str(tmp_path / "caches"))
    fetched = source.fetch(Context(Cancellation()))  # type: ignore[arg-type]  # as much as a folder needs
    assert isinstance(fetched, Ref)
    assert fetched.local is not None
    found = [path for path, _ in fetched.local.walk("")]
    assert found == expected


def test_a_directory_with_only_ignored_files_is_absent(tmp_path: Path) -> None:
    """An exception that matches nothing does not make its directory a part of the context."""
    for name in ("folder1/file1", "folder2/file", "empty/in/x"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / "empty/in/x").unlink()
    patterns = json.dumps(["**", "!folder1/file", "!folder2/file"])
    source = LocalSource(
        "context",
        {"local.excludepatterns": patterns},
        Client(ProvidedFolder(str(tmp_path))),
        str(tmp_path / "caches"),
    )
    ref = source.fetch(Context(Cancellation()))  # type: ignore[arg-type]  # no more is asked of it
    assert ref.local is not None
    for tree in (ref.local, LiveTree(ref.local)):
        assert [path for path, _ in tree.walk("")] == ["folder2", "folder2/file"]
        for path in ("folder1", "empty", "folder1/file1"):
            assert tree.lstat(path) is None
            with pytest.raises(NotFound):
                digest_selection(tree, [Selector(f"/{path}")])


@pytest.mark.parametrize("path", ["/l", "/l/f", "/l/*", "/deep/l", "/deep/l/f"])
def test_an_ignored_link_is_not_followed(tmp_path: Path, path: str) -> None:
    """No client sends it to a daemon either."""
    for name in ("d/f", "deep/d/f"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / "l").symlink_to("d")
    (tmp_path / "deep/l").symlink_to("/d")
    (tmp_path / "kept").symlink_to("d")
    patterns = json.dumps(["*", "*.md", "!d", "!kept", "!l/f", "!deep/d"])
    source = LocalSource(
        "context",
        {"local.excludepatterns": patterns},
        Client(ProvidedFolder(str(tmp_path))),
        str(tmp_path / "caches"),
    )
    ref = source.fetch(Context(Cancellation()))  # type: ignore[arg-type]  # no more is asked of it
    assert ref.local is not None
    for tree in (ref.local, LiveTree(ref.local)):
        assert tree.find("/kept/f", follow=True)[0] == "d/f"
        if "*" in path:
            assert expand_wildcard(tree, path) == []
            continue
        with pytest.raises(NotFound):
            tree.find(path, follow=True)
