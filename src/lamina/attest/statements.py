"""Reads and checks the attestations of a result, and converts them to statements."""

from __future__ import annotations

import json
import posixpath
import stat
from typing import TYPE_CHECKING

from lamina.attest.contract import CORE, AttestationKind
from lamina.base.digest import parse_digest
from lamina.base.errors import InvalidInput, from_os_error
from lamina.exporters.attestation import Statement, Subject, SubjectKind
from lamina.system.regular import read_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.attest.contract import Attestation, AttestationFiles, DescribedImage
    from lamina.refs.tree import Tree

INLINE_ONLY = "inline-only"
REASON = "reason"
_PROVENANCE = "https://slsa.dev/provenance/"
_LIMIT = 40 << 20
"""The maximum size of one attestation's JSON, in bytes."""


class Attested:
    """The attestations of one platform's result.

    Args:
        view: gives access to the files of an attestation.
    """

    def __init__(
        self, attestations: Sequence[Attestation], view: Callable[[AttestationFiles], Tree]
    ) -> None:
        self._attestations = attestations
        self._view = view

    def wanted(self, *, inline: bool) -> bool:
        """Whether there is any. With `inline`, those that are only for images count."""
        return any(inline or not _inline_only(one) for one in self._attestations)

    def statements(
        self, image: DescribedImage | None = None, *, inline: bool = True
    ) -> list[Statement]:
        """All statements, with bundles expanded, the main document of a scan first.

        The main document gets the layers of the files that it lists. `image` is what the statements
        are about, None if the output is no image.

        Raises InvalidInput (invalid content, or provenance from a frontend) and NotFound.
        """
        statements: list[tuple[bool, Statement]] = []
        for one in self._attestations:
            if inline or not _inline_only(one):
                for statement in self._read(one, image):
                    core = _is_core(one, statement.path)
                    if core and image is not None:
                        from lamina.attest.sbom_layers import with_layers

                        statement = with_layers(statement, image)
                    statements.append((core, statement))
        return [s for _, s in sorted(statements, key=lambda item: not item[0])]

    def _read(self, one: Attestation, image: DescribedImage | None) -> Sequence[Statement]:
        if one.kind is AttestationKind.BUNDLE:
            made = None if one.files is None else one.files.statements(image)
            return self._unbundle(one) if made is None else made
        if not one.path:
            raise InvalidInput("attestation does not have set path")
        if one.predicate is not None:
            data = one.predicate()
        elif one.files is None:
            raise InvalidInput("attestation does not have available content")
        else:
            _refuse_provenance(one.predicate_type, "set")
            data = _file(self._view(one.files), one.path)
        return [Statement(one.predicate_type, one.path, data, one.subjects)]

    def _unbundle(self, bundle: Attestation) -> list[Statement]:
        if bundle.files is None:
            raise InvalidInput("no ref provided for attestation bundle")
        tree = self._view(bundle.files)
        folder, status = tree.find(bundle.path, follow=True)
        if not stat.S_ISDIR(status.st_mode):
            raise InvalidInput(f"attestation bundle {bundle.path} is not a directory")
        found = []
        for name, _ in tree.children(folder):
            path = posixpath.join(bundle.path, name)
            statement = _parse_statement(_file(tree, path), path)
            kind = statement.predicate_type
            if bundle.predicate_type not in ("", kind):
                raise InvalidInput(
                    f"bundle entry {kind} does not match required predicate type"
                    f" {bundle.predicate_type}"
                )
            _refuse_provenance(kind, "bundle")
            found.append(statement)
        return found


def _inline_only(one: Attestation) -> bool:
    return one.metadata.get(INLINE_ONLY) == b"true"


def _is_core(one: Attestation, path: str) -> bool:
    core = one.metadata.get(CORE)
    return core is not None and posixpath.basename(path).partition(".")[0] == core.decode(
        errors="replace"
    )


def _refuse_provenance(predicate_type: str, verb: str) -> None:
    """Only the builder may state how an image was built."""
    if predicate_type.startswith(_PROVENANCE):
        raise InvalidInput(f"frontend may not {verb} provenance attestations")


def _parse_statement(data: bytes, path: str) -> Statement:
    try:
        document = json.loads(data)
        subjects = tuple(
            Subject(
                SubjectKind.RAW,
                str(subject["name"]),
                tuple(parse_digest(f"{name}:{value}") for name, value in subject["digest"].items()),
            )
            for subject in document.get("subject") or ()
        )
        kind = str(document.get("predicateType", ""))
        predicate = json.dumps(document.get("predicate"), ensure_ascii=False).encode()
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"cannot decode in-toto statement {path}: {error}") from error
    return Statement(kind, path, predicate, subjects)


def _file(tree: Tree, path: str) -> bytes:
    found, _ = tree.find(path, follow=True)
    try:
        return read_regular(tree.real(found), _LIMIT)
    except OSError as error:
        raise from_os_error(error, f"read the attestation {path}") from error
