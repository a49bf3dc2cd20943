"""The result of a build: file systems by platform, with the frontend's metadata."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lamina.attest.contract import Attestation, DescribedImage, FrontendCall
    from lamina.base.platform import Platform
    from lamina.exporters.attestation import Statement
    from lamina.llb.op import Definition
    from lamina.refs.ref import Ref
    from lamina.solver.contract import Graph
    from lamina.system.cancel import Cancellation


class Solvable:
    """The result of a definition. The first caller that needs it solves it, once for all callers.

    `graph` is None for an empty file system. `call` is the frontend call that made the definition,
    None if a client sent the definition itself.
    """

    def __init__(
        self,
        definition: Definition | None,
        graph: Graph | None,
        solve: Callable[[Graph, Cancellation | None], Ref],
    ) -> None:
        self.definition = definition
        self.graph = graph
        self.call: FrontendCall | None = None
        self._solve = solve
        self._lock = threading.Lock()
        self._ref: Ref | None = None

    @property
    def empty(self) -> bool:
        """Whether it is the empty file system."""
        return self.graph is None

    def statements(self, image: DescribedImage | None) -> Sequence[Statement] | None:
        """See `lamina.attest.contract.AttestationFiles`."""
        return None

    def ref(self, cancel: Cancellation | None = None) -> Ref:
        """The result's ref. Raises the error that stopped the build.

        Args:
            cancel: cancels this call, and work that no other caller needs.
        """
        from lamina.system.cancel import locked

        with self._lock if cancel is None else locked(self._lock, cancel):
            if self._ref is None:
                self._ref = self._make(cancel)
            return self._ref

    def _make(self, cancel: Cancellation | None) -> Ref:
        from lamina.refs.ref import Ref

        return Ref() if self.graph is None else self._solve(self.graph, cancel)


class PlatformResult(NamedTuple):
    """The result for one platform.

    `config` is the image configuration without `rootfs`, b"" if the frontend returned none. `base`
    is that of the base image, b"" if there is none. `id` is the frontend's identifier of the
    platform. `epoch` is the SOURCE_DATE_EPOCH that the frontend set, in seconds; an output's own
    value takes precedence.
    """

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
    """The results for all platforms. `several`: they are exported as an index, even if there is
    one.

    `metadata` is what the frontend returned in addition (clients get the keys `frontend.…`).
    """

    parts: tuple[PlatformResult, ...]
    several: bool = False
    metadata: Mapping[str, bytes] = {}


class Finished(NamedTuple):
    """The outcome of outputs and caches, with the keys of `--metadata-file`
    (`containerimage.digest`).

    `outputs` has one entry per requested output, in that order.
    """

    outputs: tuple[Mapping[str, Any], ...]
    caches: Mapping[str, Any]

    def metadata(self) -> dict[str, Any]:
        """The metadata of all outputs; of several images, that of the last one."""
        found: dict[str, Any] = {}
        for one in (*self.outputs, self.caches):
            found.update(one)
        return found
