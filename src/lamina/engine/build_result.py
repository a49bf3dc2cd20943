"""What a build comes to: file systems, by platform, and what a frontend says of them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lamina.attest.contract import Attestation, FrontendCall
    from lamina.base.platform import Platform
    from lamina.llb.op import Definition
    from lamina.refs.ref import Ref
    from lamina.solver.contract import Graph


class Solvable:
    """A definition's result. The first caller that needs it makes it, once for all callers.

    `graph` is None for an empty file system. `call` is the frontend call that made the
    definition, None if a client sent the definition itself.
    """

    def __init__(
        self, definition: Definition | None, graph: Graph | None, solve: Callable[[Graph], Ref]
    ) -> None:
        self.definition = definition
        self.graph = graph
        self.call: FrontendCall | None = None
        self._solve = solve
        self._lock = threading.Lock()
        self._ref: Ref | None = None

    def ref(self) -> Ref:
        """Raises what stopped it."""
        from lamina.refs.ref import Ref

        with self._lock:
            if self._ref is None:
                self._ref = Ref() if self.graph is None else self._solve(self.graph)
            return self._ref


class PlatformResult(NamedTuple):
    """One platform's part. `config` is the image configuration without `rootfs`, b"" if the
    frontend gave none; `base` that of the image below, b"" if there is none. `id` is what the
    frontend calls the part; `epoch` the SOURCE_DATE_EPOCH that it set, in seconds, for outputs
    that say nothing of it."""

    platform: Platform
    files: Solvable
    config: bytes = b""
    base: bytes = b""
    id: str = ""
    epoch: int | None = None
    attestations: tuple[Attestation, ...] = ()

    @property
    def key(self) -> str:
        return self.id or str(self.platform)


class BuildResult(NamedTuple):
    """All of it. `several` is set when the parts belong in an index, even if there is but one.

    `metadata` is what a frontend returned beside (`frontend.…` keys reach the client).
    """

    parts: tuple[PlatformResult, ...]
    several: bool = False
    metadata: Mapping[str, bytes] = {}


class Finished(NamedTuple):
    """What outputs and caches became, in the words of `--metadata-file` (`containerimage.digest`).

    `outputs` has an entry for each that was asked for, in that order.
    """

    outputs: tuple[Mapping[str, Any], ...]
    caches: Mapping[str, Any]

    def metadata(self) -> dict[str, Any]:
        """All of it; of several images, the last one's."""
        found: dict[str, Any] = {}
        for one in (*self.outputs, self.caches):
            found.update(one)
        return found
