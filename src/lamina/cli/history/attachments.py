"""`lamina history inspect attachment`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from lamina.base.digest import parse_digest
from lamina.base.errors import InvalidInput, NotFound
from lamina.cli.opening import open_history
from lamina.client.attachments import attachments_of
from lamina.records.naming import find_record
from lamina.system.descriptors import write_all

if TYPE_CHECKING:
    from lamina.cli.flags import Parsed
    from lamina.client.attachments import Attachment

_TYPES = {
    "index": (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    ),
    "manifest": (
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    ),
    "image": (
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
    ),
    "provenance": ("https://slsa.dev/provenance/v1", "https://slsa.dev/provenance/v0.2"),
    "sbom": ("https://spdx.dev/Document",),
}
_STDOUT = 1


def run(parsed: Parsed, names: list[str]) -> int:
    """Write one attachment: the one of a digest, or the first that the flags select."""
    build, *digests = names or [""]
    kind, platform = parsed.text("type"), parsed.text("platform")
    if not digests and not kind and not platform:
        raise InvalidInput(
            "`lamina history inspect attachment` needs --type, --platform or a digest",
            hint="`lamina history inspect` lists the attachments of a build",
        )
    with open_history(parsed) as history:
        record = history.record(find_record(history.rows(), build).ref)
        if digests:
            digest = str(parse_digest(digests[0]))
        else:
            digest = _selected(attachments_of(history, record), kind, platform, record.ref)
        data = history.blob(digest)
    sys.stdout.flush()
    write_all(_STDOUT, data)
    return 0


def _selected(found: list[Attachment], kind: str, platform: str, ref: str) -> str:
    types = _TYPES.get(kind, (kind,))
    for each in found:
        if (not kind or each.type in types) and (not platform or each.platform == platform):
            return each.digest
    known = ", ".join(dict.fromkeys(each.type for each in found))
    raise NotFound(
        f"build {ref} has no such attachment",
        hint=f"its attachments are {known}" if known else "the build has no attachments",
    )
