"""What this floor needs of those above: showing people what goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from lamina.registry.upload import Transferred


class Shown(Protocol):
    """A step that people see."""

    def status(self, text: str, current: int = 0, total: int = 0) -> None:
        """Something that has been done."""
        ...

    def doing(self, text: str) -> AbstractContextManager[None]:
        """Something that takes as long as the block."""
        ...

    def warn(self, text: str) -> None:
        """Something that went wrong without stopping the build."""
        ...

    def meter(self, verb: str) -> Transferred:
        """Shows how far blobs have come."""
        ...


class Steps(Protocol):
    def __call__(self, name: str) -> AbstractContextManager[Shown]:
        """Show a step during the block; an error inside is shown as the step's."""
        ...
