"""What is attested of a result, and the frontend calls that provenance records."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lamina.exporters.attestation import Subject
    from lamina.refs.ref import Ref


class FrontendCall(NamedTuple):
    """What a frontend was asked, for provenance: its attributes as they came.

    `origins` are the calls that made its inputs, by name, where that is known. `root` is the
    client's own call, if it led to this one.
    """

    frontend: str
    attrs: Mapping[str, str] = {}
    origins: Mapping[str, FrontendCall] = {}
    root: FrontendCall | None = None

    @property
    def first(self) -> FrontendCall | None:
        """What calls that this one makes are led to by."""
        if self.root is not None:
            return self.root
        return self if self.frontend or self.attrs or self.origins else None


class AttestationFiles(Protocol):
    """The files that an attestation lies in; made when they are needed."""

    def ref(self) -> Ref:
        """Raises what stopped it."""
        ...


class AttestationKind(Enum):
    """IN_TOTO: one predicate. BUNDLE: a folder of whole statements."""

    IN_TOTO = 0
    BUNDLE = 1


class Attestation(NamedTuple):
    """What is stated of a platform's part (`gateway.proto`, `Attestation`).

    The predicate is the JSON that `predicate` returns, asked when all else is done, or what is
    at `path` in `files`; a bundle's are in the folder there. `metadata` tells of its purpose:
    `inline-only` (`true`: for images alone), `reason`, `sbom-core`.
    """

    path: str
    predicate_type: str = ""
    kind: AttestationKind = AttestationKind.IN_TOTO
    subjects: tuple[Subject, ...] = ()
    files: AttestationFiles | None = None
    predicate: Callable[[], bytes] | None = None
    metadata: Mapping[str, bytes] = {}
