"""The layers of snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lamina.base.digest import digest_of
from lamina.base.oci import Descriptor
from lamina.stores.database import Database
from lamina.stores.layers import Layer, LayerTable, dated_recipe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def meta(tmp_path: Path) -> Iterator[Database]:
    opened = Database(str(tmp_path / "meta.db"))
    with opened.write() as connection:
        connection.execute("INSERT INTO snapshots (id, created, used, boot) VALUES (1, 0, 0, '')")
    yield opened
    opened.close()


def test_rewritten_times_that_change_nothing_leave_the_plain_layer(meta: Database) -> None:
    table = LayerTable(meta)
    digest = digest_of(b"layer")
    plain = Layer(Descriptor("type", digest, 5), digest, "gzip-1")
    dated = plain._replace(recipe=dated_recipe("gzip-1", 1_500_000_000))
    table.add(1, plain)
    table.add(1, dated)
    assert table.of(1) == [plain]
    assert table.dated(1, "gzip-1", 1_500_000_000) == dated
