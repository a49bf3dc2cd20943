"""Attestations in the gateway API (`gateway.proto`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.api import gateway as api
from lamina.attest.contract import Attestation, AttestationKind
from lamina.base.digest import parse_digest
from lamina.engine.build_result import Solvable
from lamina.exporters.attestation import Subject, SubjectKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.engine.build_result import BuildResult


def read_attestations(
    result: api.Result, find: Callable[[str], Solvable]
) -> dict[str, tuple[Attestation, ...]]:
    """The attestations that a frontend returns, by platform ID.

    Args:
        find: returns the result with a ref's ID; raises NotFound.
    """
    return {
        key: tuple(
            Attestation(
                one.path,
                one.in_toto_predicate_type,
                AttestationKind(one.kind),
                tuple(
                    Subject(SubjectKind(s.kind), s.name, tuple(map(parse_digest, s.digest)))
                    for s in one.in_toto_subjects
                ),
                None if one.ref is None else find(one.ref.id),
                metadata=dict(one.metadata),
            )
            for one in listed.attestation
        )
        for key, listed in result.attestations
    }


def wire_attestations(
    result: BuildResult, register: Callable[[Solvable], api.Ref]
) -> tuple[tuple[str, api.Attestations], ...]:
    """The attestations of a result, by platform ID.

    Args:
        register: gives a result an ID.
    """

    def wire(one: Attestation) -> api.Attestation:
        return api.Attestation(
            api.AttestationKind(one.kind.value),
            tuple(sorted(one.metadata.items())),
            register(one.files) if isinstance(one.files, Solvable) else None,
            one.path,
            one.predicate_type,
            tuple(
                api.InTotoSubject(
                    api.InTotoSubjectKind(s.kind.value), tuple(map(str, s.digests)), s.name
                )
                for s in one.subjects
            ),
        )

    return tuple(
        (part.key, api.Attestations(tuple(map(wire, part.attestations))))
        for part in result.parts
        if part.attestations
    )
