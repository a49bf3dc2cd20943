"""Image references: `[domain/]path[:tag][@digest]` (distribution's reference grammar)."""

from __future__ import annotations

import re

from lamina.base.digest import Digest, parse_digest
from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple

DEFAULT_DOMAIN = "docker.io"
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*\Z")
_DOMAIN = re.compile(
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*"
    r"|\[[0-9a-fA-F:]+\])(?::[0-9]+)?\Z"
)
_TAG = re.compile(r"\w[\w.-]{0,127}\Z", re.ASCII)


class Reference(NamedTuple):
    """A normalised image name. At least one of `tag` and `digest` is set by `parse_reference`."""

    domain: str
    path: str
    tag: str = ""
    digest: Digest | None = None

    def __str__(self) -> str:
        text = f"{self.domain}/{self.path}"
        if self.tag:
            text += f":{self.tag}"
        if self.digest:
            text += f"@{self.digest}"
        return text

    @property
    def name(self) -> str:
        """Domain and path, without tag and digest."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar(self) -> str:
        """The short form: without `docker.io/library/`."""
        text = str(self)
        if self.domain == DEFAULT_DOMAIN:
            text = text.removeprefix(DEFAULT_DOMAIN + "/").removeprefix("library/")
        return text


def parse_reference(text: str) -> Reference:
    """Parse an image name by Docker's rules: `alpine` is `docker.io/library/alpine:latest`.

    Raises InvalidInput.
    """
    rest, at, digest_text = text.partition("@")
    digest = parse_digest(digest_text) if at else None
    slash = rest.rfind("/")
    colon = rest.rfind(":")
    tag = ""
    if colon > slash:
        rest, tag = rest[:colon], rest[colon + 1 :]
        if not _TAG.match(tag):
            raise _invalid(text, f'"{tag}" is not a valid tag')
    first, has_slash, remainder = rest.partition("/")
    is_domain = has_slash and (
        "." in first or ":" in first or first == "localhost" or first.lower() != first
    )
    domain, path = (first, remainder) if is_domain else (DEFAULT_DOMAIN, rest)
    if domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = "library/" + path
    if not _DOMAIN.match(domain):
        raise _invalid(text, f'"{domain}" is not a valid registry host')
    if path.lower() != path:
        raise _invalid(text, "repository name must be lowercase")
    if not path or len(path) > 255 or not all(map(_COMPONENT.match, path.split("/"))):
        raise _invalid(text, "not a valid repository name")
    if not tag and digest is None:
        tag = "latest"
    return Reference(domain, path, tag, digest)


def full_name(text: str) -> str:
    """A name with its registry, and with a tag only if one was written. Raises InvalidInput."""
    reference = parse_reference(text)
    written = ":" in text.partition("@")[0].rpartition("/")[2]
    return str(reference if written else reference._replace(tag=""))


def _invalid(text: str, why: str) -> InvalidInput:
    return InvalidInput(
        f'invalid reference format: "{text}": {why}',
        hint="an image name looks like [host[:port]/]name[/more][:tag][@sha256:…]",
    )
