from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.base.errors import Corrupt
from lamina.stores.contents import ContentEntry, ContentTable
from lamina.stores.store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lamina.stores.store import Store

_NAMES = st.sampled_from(["a", "b", "ü", "x.py", "-", "a b"])
_FOLDERS = st.lists(_NAMES, max_size=3)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(str(tmp_path_factory.mktemp("store"))) as store:
        yield store


def entries_of(paths: dict[tuple[str, ...], str]) -> list[ContentEntry]:
    """Files with their parent directories."""
    found: dict[str, ContentEntry] = {}
    for path, digest in paths.items():
        for depth in range(1, len(path)):
            folder = "/".join(path[:depth])
            found[folder] = ContentEntry(folder, "d", 0o755, digest="d")
        name = "/".join(path)
        found.setdefault(name, ContentEntry(name, "-", 0o644, 1, 2, 3, digest))
    return list(found.values())


@given(
    st.dictionaries(
        st.tuples(_NAMES) | _FOLDERS.map(lambda f: (*f, "file")), st.text("01", min_size=1)
    )
)
def test_saved_contents_are_read(store: Store, paths: dict[tuple[str, ...], str]) -> None:
    entries = entries_of(paths)
    table = ContentTable(store.database)
    content = f"sha256:{hash(tuple(entries))}"
    table.save(content, reversed(entries))
    read = [entry._replace(below="") for entry in table.entries(content)]
    assert sorted(read) == sorted(entries)
    position = {entry.name: index for index, entry in enumerate(read)}
    for name, index in position.items():
        above = name.rpartition("/")[0]
        assert not above or position[above] < index


def test_versions_of_a_folder_share_what_is_equal(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "store")) as store:
        table = ContentTable(store.database)
        for version in ("1", "2"):
            paths: dict[tuple[str, ...], str] = {(f"f{n}", "file"): "same" for n in range(50)}
            paths["x", "file"] = version
            table.save(f"sha256:{version}", entries_of(paths))
        [(nodes,)] = store.database.rows("SELECT COUNT(*) FROM content_nodes")
        assert nodes == 1 + 2 + 2  # equal directories are one node; there are two roots and two `x`
        with store.database.write() as connection:
            connection.execute(
                "INSERT INTO builds (ref, created, completed, status, record)"
                " VALUES ('a', 1, 1, 'completed', x'')"
            )
            connection.execute("INSERT INTO build_contents VALUES ('a', 'sha256:2')")
        table.sweep()
        assert not table.has("sha256:1")
        assert len(list(table.entries("sha256:2"))) == 102
        assert store.database.rows("SELECT COUNT(*) FROM content_nodes") == [(3,)]


def test_a_damaged_manifest(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "store")) as store:
        table = ContentTable(store.database)
        assert list(table.entries("sha256:unknown")) == []
        table.save("sha256:1", [ContentEntry("a")])
        with store.database.write() as connection:
            connection.execute("UPDATE content_nodes SET data = x'00'")
        with pytest.raises(Corrupt, match="is damaged"):
            list(table.entries("sha256:1"))
        table.save("sha256:2", [ContentEntry("b")])
        with store.database.write() as connection:
            connection.execute(
                "INSERT INTO builds (ref, created, completed, status, record)"
                " VALUES ('a', 1, 1, 'completed', x'')"
            )
            connection.execute("INSERT INTO build_contents VALUES ('a', 'sha256:1')")
        table.sweep()
        assert (table.has("sha256:1"), table.has("sha256:2")) == (True, False)
        with store.database.write() as connection:
            connection.execute("DELETE FROM content_nodes")
        with pytest.raises(Corrupt, match="is missing"):
            list(table.entries("sha256:1"))
