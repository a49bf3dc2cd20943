"""A handle on a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.refs.tree import Tree


class Ref:
    """One file-system state: a snapshot in the store, or a folder lent by the client.

    `snapshot` None and `local` None is the empty file system (`scratch`). States cannot vanish
    under a build that holds them (`lamina.stores.leases`): handles need no counting of their own.
    """

    __slots__ = ("local", "snapshot")

    def __init__(self, snapshot: int | None = None, *, local: Tree | None = None) -> None:
        self.snapshot = snapshot
        self.local = local

    def clone(self) -> Ref:
        return self

    def release(self) -> None:
        """Nothing to give back."""

    def __str__(self) -> str:
        return str(self.snapshot) if self.local is None else "local"
