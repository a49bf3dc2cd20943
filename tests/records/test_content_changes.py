"""Comparing manifests: the reported paths and their number are correct for any trees."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from lamina.records.content_changes import SHOWN, PathChange, compare_contents
from lamina.stores.contents import ContentEntry, ContentTable
from lamina.stores.store import open_store

FILES = st.dictionaries(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join),
    st.integers(0, 2),
    max_size=8,
)


def entries(files: dict[str, int]) -> list[ContentEntry]:
    """Files with contents by number; a directory replaces a file of the same name."""
    folders = {path[:at] for path in files for at, char in enumerate(path) if char == "/"}
    found = [ContentEntry(path, "d", 0o755, digest="folder") for path in folders]
    return found + [
        ContentEntry(path, "-", 0o644, size=number, digest=str(number))
        for path, number in files.items()
        if path not in folders
    ]


@given(FILES, FILES)
def test_undoing_the_changes_gives_the_earlier_content(
    before: dict[str, int], after: dict[str, int]
) -> None:
    with TemporaryDirectory() as folder, open_store(str(Path(folder) / "store")) as store:
        table = ContentTable(store.database)
        table.save("before", entries(before))
        table.save("after", entries(after))
        changes = compare_contents(table, "before", "after")
    assert changes is not None
    old = {entry.name: entry for entry in entries(before)}
    new = {entry.name: entry for entry in entries(after)}
    if changes.total > SHOWN:
        assert len(changes.first) == SHOWN
        return
    assert changes.total == len(changes.first)
    for change in changes.first:
        path = change.path.rstrip("/")
        below = {name for name in {**old, **new} if name == path or name.startswith(path + "/")}
        for name in below:
            new.pop(name, None)
            if name in old:
                new[name] = old[name]
    assert new == old


def test_what_is_said_of_a_path(tmp_path: Path) -> None:
    one = ContentEntry("f", "-", 0o644, 0, 0, 1, "1")
    cases = {
        "size": (one._replace(size=2, digest="2", mode=0o600), PathChange("f", "changed")),
        "content": (one._replace(digest="2"), PathChange("f", "changed")),
        "mode": (one._replace(digest="2", mode=0o755), PathChange("f", "mode", "0644", "0755")),
        "owner": (one._replace(digest="2", gid=3), PathChange("f", "owner", "0:0", "0:3")),
        "type": (one._replace(digest="2", kind="l"), PathChange("f", "type", "-", "l")),
    }
    with open_store(str(tmp_path / "store")) as store:
        table = ContentTable(store.database)
        table.save("one", [one])
        for name, (other, expected) in cases.items():
            table.save(name, [other])
            changes = compare_contents(table, "one", name)
            assert changes is not None
            assert changes.first == (expected,)
        assert compare_contents(table, "one", "unknown") is None


def test_equal_folders_are_not_read(tmp_path: Path) -> None:
    many = [ContentEntry(f"big/{n}", digest="1") for n in range(100)]
    with open_store(str(tmp_path / "store")) as store:
        table = ContentTable(store.database)
        table.save("one", [*many, ContentEntry("a", digest="1")])
        table.save("other", [*many, ContentEntry("b", digest="1")])
        big = next(entry.below for entry in table.node(table.root("one")) if entry.name == "big")
        with store.database.write() as connection:
            connection.execute("DELETE FROM content_nodes WHERE digest = ?", (big,))
        changes = compare_contents(table, "one", "other")
    assert changes is not None
    assert changes.first == (PathChange("a", "removed"), PathChange("b", "added"))
