"""Resolved sources, as the materials of the provenance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from lamina.base.digest import Digest
    from lamina.base.platform import Platform


class ImageMaterial(NamedTuple):
    """An image by name; `digest` is what the name points to, `local` that of an OCI layout."""

    name: str
    platform: Platform | None
    digest: Digest
    local: bool = False


class BlobMaterial(NamedTuple):
    """One blob of an image repository, by `<name>@<digest>`; `local` if it is of an OCI layout."""

    name: str
    digest: Digest
    local: bool = False


class GitMaterial(NamedTuple):
    """`url` is the remote, with `#ref` if there is one; `commit` is the full name. `bundle` is
    what was read instead of the remote."""

    url: str
    commit: str
    bundle: BlobMaterial | None = None


class HttpMaterial(NamedTuple):
    url: str
    digest: Digest


class LocalMaterial(NamedTuple):
    """A directory of the client, by its name in the session."""

    name: str


Material = ImageMaterial | BlobMaterial | GitMaterial | HttpMaterial | LocalMaterial
