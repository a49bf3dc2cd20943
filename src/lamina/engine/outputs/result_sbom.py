"""Adds SBOMs to the attestations of a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.engine.frontends.sbom import has_sbom, make_scanner

if TYPE_CHECKING:
    from lamina.attest.options import SbomOptions
    from lamina.engine.build_result import BuildResult
    from lamina.engine.frontends.contract import FrontendBuild


def with_sboms(build: FrontendBuild, result: BuildResult, options: SbomOptions) -> BuildResult:
    """The result, with an SBOM among each part's attestations, unless a frontend made one.

    Raises the error of resolving the generator.
    """
    if all(has_sbom(part.attestations) for part in result.parts):
        return result
    scanner = make_scanner(build, options)
    parts = (
        part
        if has_sbom(part.attestations) or part.files.empty
        else part._replace(
            attestations=(
                *part.attestations,
                scanner.attestation(part.key, part.files, {}, part.epoch),
            )
        )
        for part in result.parts
    )
    return result._replace(parts=tuple(parts))
