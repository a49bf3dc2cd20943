"""The port of this layer for showing progress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from lamina.registry.upload import Transferred


class Shown(Protocol):
    """A step in the progress."""

    def status(self, text: str, current: int = 0, total: int = 0) -> None:
        """Show something that has been done."""
        ...

    def doing(self, text: str) -> AbstractContextManager[None]:
        """Show something that takes as long as the block."""
        ...

    def warn(self, text: str) -> None:
        """Report a problem that does not stop the build."""
        ...

    def meter(self, verb: str) -> Transferred:
        """A display of blob transfers."""
        ...


class Steps(Protocol):
    def __call__(self, name: str) -> AbstractContextManager[Shown]:
        """Show a step for the block. An error inside is shown as the step's error."""
        ...
