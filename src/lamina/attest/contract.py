"""Attestations of a result, and the frontend calls that provenance records."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

from lamina.base.named_tuple import NamedTuple

CORE = "sbom-core"
"""The metadata of a scan: the name of its main document, without suffixes."""

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lamina.exporters.attestation import Statement, Subject
    from lamina.refs.ref import Ref


class FrontendCall(NamedTuple):
    """A call of a frontend, for provenance, with its attributes as they were sent.

    `origins` are the calls that made its inputs, by name, as far as known. `root` is the client's
    own call, if this one results from it.
    """

    frontend: str
    attrs: Mapping[str, str] = {}
    origins: Mapping[str, FrontendCall] = {}
    root: FrontendCall | None = None

    @property
    def first(self) -> FrontendCall | None:
        """The root of the calls that this one makes."""
        if self.root is not None:
            return self.root
        return self if self.frontend or self.attrs or self.origins else None


class DescribedImage(Protocol):
    """The image that statements are about, when its layers are packed."""

    @property
    def name(self) -> str:
        """The full reference, "" if it has no name."""
        ...

    @property
    def digest(self) -> str:
        """The digest of its manifest."""
        ...

    @property
    def layers(self) -> Sequence[str]:
        """The digests of the layers, lowest first."""
        ...

    def layer_of(self, path: str) -> str:
        """The digest of the uppermost layer with a file, "" if there is none."""
        ...


class AttestationFiles(Protocol):
    """The files that contain an attestation; solved when they are needed."""

    def ref(self) -> Ref:
        """The ref. Raises the error that stopped the build."""
        ...

    def statements(self, image: DescribedImage | None) -> Sequence[Statement] | None:
        """The statements of a bundle that is made when the image is known. None if they are in the
        files.

        `image` is None if the output is no image.
        """
        ...


class AttestationKind(Enum):
    """IN_TOTO: one predicate. BUNDLE: a directory of complete statements."""

    IN_TOTO = 0
    BUNDLE = 1


class Attestation(NamedTuple):
    """An attestation of one platform's result (`gateway.proto`, `Attestation`).

    The predicate is the JSON that `predicate` returns, which is called last, or the file at `path`
    in `files`; a bundle's statements are in the directory there. `metadata` describes its purpose:
    `inline-only` (`true`: only for images), `reason`, `sbom-core`.
    """

    path: str
    predicate_type: str = ""
    kind: AttestationKind = AttestationKind.IN_TOTO
    subjects: tuple[Subject, ...] = ()
    files: AttestationFiles | None = None
    predicate: Callable[[], bytes] | None = None
    metadata: Mapping[str, bytes] = {}
