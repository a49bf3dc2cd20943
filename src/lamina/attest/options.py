"""The requested attestations, from frontend attributes or flags.

`attest:provenance=mode=max,…` and `build-arg:BUILDKIT_ATTEST_PROVENANCE=…` among a frontend's
attributes (BuildKit's `frontend/attestations`); `--attest type=provenance,…` on command lines.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from lamina.base.booleans import parse_bool
from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple
from lamina.base.reference import parse_reference

if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIXES = ("attest:", "build-arg:BUILDKIT_ATTEST_")
_VERSIONS = ("v1", "v0.2")
_MODES = {"min": "min", "max": "max", "full": "max"}


class ProvenanceOptions(NamedTuple):
    """Options of the provenance.

    `version` is SLSA's: `v1` or `v0.2`. `mode` is `min`, or `max` with every step and the texts
    they come from. `inline_only` limits it to images. `filename` is its name in directories.
    `reproducible` is stated by the user. `complete_materials` makes a build fail if a material is
    not known. `capture_usage` adds the resources that steps used, in mode `max`.
    """

    version: str = "v1"
    mode: str = "max"
    inline_only: bool = False
    builder_id: str = ""
    filename: str = "provenance.json"
    reproducible: bool = False
    complete_materials: bool = False
    capture_usage: bool = False


class SbomFormat(Enum):
    """The formats that the scanner of lamina writes."""

    SPDX = "spdx"
    CYCLONEDX = "cyclonedx"


class SbomOptions(NamedTuple):
    """Options of the SBOM.

    `generator` is the image that makes it, "" for the scanner of lamina. `parameters` are passed to
    the image. `format` is that of the scanner of lamina.
    """

    generator: str = ""
    parameters: tuple[tuple[str, str], ...] = ()
    format: SbomFormat = SbomFormat.SPDX


class WantedAttestations(NamedTuple):
    """The attestations that a build makes, None for those that it does not."""

    provenance: ProvenanceOptions | None = None
    sbom: SbomOptions | None = None


def wanted_attestations(attrs: Mapping[str, str]) -> WantedAttestations:
    """The attestations that a frontend's attributes request. Raises InvalidInput."""
    wanted: dict[str, str] = {}
    for key, value in attrs.items():
        for prefix in _PREFIXES:
            if key.startswith(prefix):
                wanted[key.removeprefix(prefix).lower()] = value
    for kind in wanted:
        if kind not in ("sbom", "provenance"):
            raise InvalidInput(f'unknown attestation type "{kind}"')
    return WantedAttestations(
        parse_provenance(wanted["provenance"]) if "provenance" in wanted else None,
        parse_sbom(wanted["sbom"]) if "sbom" in wanted else None,
    )


def wanted_sbom(attrs: Mapping[str, str]) -> SbomOptions | None:
    """The SBOM that a frontend's attributes request. Raises InvalidInput."""
    return wanted_attestations(attrs).sbom


def without_own_sbom(attrs: Mapping[str, str]) -> Mapping[str, str]:
    """The attributes without a request for the scanner of lamina.

    A frontend image would run the generator that it knows, which it would have to download.
    """
    sbom = wanted_sbom(attrs)
    if sbom is None or sbom.generator:
        return attrs
    return {
        key: value
        for key, value in attrs.items()
        if not (key.startswith(_PREFIXES) and key.lower().endswith(("_sbom", ":sbom")))
    }


def parse_sbom(text: str) -> SbomOptions:
    """Parse `generator=IMAGE,NAME=VALUE,…`, or `format=cyclonedx` without a generator.

    Raises InvalidInput.
    """
    pairs = dict(field.partition("=")[::2] for field in _fields(text))
    if "generator" in pairs:
        generator = pairs.pop("generator")
        if not generator:
            raise InvalidInput(
                "sbom scanner cannot be empty", hint="name an image: generator=IMAGE"
            )
        return SbomOptions(str(parse_reference(generator)), tuple(pairs.items()))
    chosen = pairs.get("format", SbomFormat.SPDX.value)
    try:
        return SbomOptions(format=SbomFormat(chosen))
    except ValueError:
        raise InvalidInput(
            f'invalid SBOM format "{chosen}"', hint="it is format=spdx or format=cyclonedx"
        ) from None


def parse_provenance(text: str) -> ProvenanceOptions:
    """Parse `mode=max,version=v1,…`. Unknown options are ignored (BuildKit).

    Raises InvalidInput.
    """
    pairs = dict(field.partition("=")[::2] for field in _fields(text))
    version = pairs.get("version", "v1")
    if version not in _VERSIONS:
        raise InvalidInput(f"invalid provenance SLSA version: {version}", hint="v1 or v0.2")
    mode = pairs.get("mode", "max")
    if mode not in _MODES:
        raise InvalidInput(f'invalid mode "{mode}"', hint="provenance is mode=min or mode=max")
    return ProvenanceOptions(
        version,
        _MODES[mode],
        bool(parse_bool(pairs.get("inline-only", ""))),
        pairs.get("builder-id", ""),
        pairs.get("filename", "provenance.json"),
        _boolean(pairs, "reproducible"),
        _boolean(pairs, "complete-materials"),
        bool(parse_bool(pairs.get("capture-usage", ""))),
    )


def _boolean(pairs: Mapping[str, str], key: str) -> bool:
    value = pairs.get(key, "false")
    chosen = parse_bool(value)
    if chosen is None:
        raise InvalidInput(f'failed to parse {key} flag "{value}"', hint="it is true or false")
    return chosen


def _fields(text: str) -> list[str]:
    """The fields of one line of CSV."""
    if '"' not in text:
        return [field for field in text.split(",") if field]
    import csv

    try:
        return next(csv.reader([text], strict=True))
    except (csv.Error, StopIteration) as error:
        raise InvalidInput(f"failed to parse {text}: {error}") from error
