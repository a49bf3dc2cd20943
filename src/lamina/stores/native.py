"""The native snapshotter, for file systems that overlayfs cannot sit on.

Every directory holds a whole tree: its parent's, copied (reflinked where the file system can),
and changed. Slower and larger than overlay, but it works everywhere.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.system.clone import clone_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamina.stores.snapshots import Staged


class NativeSnapshotter:
    kind = "native"

    def view(self, lowers: Sequence[str], target: str) -> str:
        return lowers[-1] if lowers else target

    def drop(self, view: str) -> None:
        return

    def stage(self, lowers: Sequence[str], staged: Staged) -> None:
        if lowers:
            os.rmdir(staged.files)
            clone_tree(lowers[-1], staged.files)

    @contextmanager
    def writable(self, lowers: Sequence[str], staged: Staged, target: str) -> Iterator[str]:
        yield staged.files
