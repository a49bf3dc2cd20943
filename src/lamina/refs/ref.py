"""Refs: handles on file systems."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.refs.tree import Tree


class Ref:
    """A snapshot in the store (by its id), or a client's directory (`local`). Immutable.

    Both None is the empty file system (`scratch`). A ref is not counted: the lease that was taken
    with the snapshot (`lamina.stores.leases`) keeps it until the builds end that run now.
    """

    __slots__ = ("local", "snapshot")

    def __init__(self, snapshot: int | None = None, *, local: Tree | None = None) -> None:
        self.snapshot = snapshot
        self.local = local

    def __str__(self) -> str:
        return str(self.snapshot) if self.local is None else "local"
