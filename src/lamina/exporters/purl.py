"""Package URLs of images, as attestations name them (purl-spec, types `docker` and `oci`)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from lamina.base.platform import normalise
from lamina.base.reference import parse_reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.base.platform import Platform


def image_purl(
    name: str,
    platform: Platform | None,
    kind: str = "docker",
    more: Sequence[tuple[str, str]] = (),
) -> str:
    """`pkg:docker/<name>@<tag>?digest=…&platform=…`, with `more` qualifiers at the end.

    Raises InvalidInput for an invalid name.
    """
    reference = parse_reference(name)
    path = reference._replace(tag="", digest=None).familiar
    version = f"@{_escape(reference.tag)}" if reference.tag else ""
    qualifiers = []
    if reference.digest is not None:
        qualifiers.append(f"digest={quote(reference.digest, safe=':')}")
    if platform is not None:
        qualifiers.append(f"platform={quote(str(normalise(platform)), safe=':')}")
    qualifiers += [f"{key}={quote(value, safe=':@$+=')}" for key, value in more]
    query = f"?{'&'.join(qualifiers)}" if qualifiers else ""
    return f"pkg:{kind}/{'/'.join(map(_escape, path.split('/')))}{version}{query}"


def _escape(part: str) -> str:
    return quote(part, safe="")
