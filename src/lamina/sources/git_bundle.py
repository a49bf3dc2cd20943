"""Git bundles: a repository's history in one file, read from a blob or written as one.

A bundle never changes, since its digest names it. It is unpacked once, to a separate repository,
and read from there like any other.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.errors import Corrupt, InvalidInput
from lamina.sources.blob import parse_blob_name
from lamina.sources.git_command import GitFailed
from lamina.sources.material import BlobMaterial
from lamina.system.regular import open_regular

if TYPE_CHECKING:
    from lamina.sources.blob import BlobName, BlobOrigin
    from lamina.sources.git_command import GitCommand
    from lamina.stores.blobs import BlobStore
    from lamina.system.cancel import Cancellation

_LINE = 4096
_NAMELESS = "refs/heads/main"
"""The name of a commit in a bundle if the request has none."""


def parse_bundle_name(locator: str) -> BlobName:
    """Parse `docker-image+blob://<name>@<digest>` or `oci-layout+blob://…`. Raises InvalidInput."""
    scheme, mark, place = locator.partition("://")
    if not mark:
        raise InvalidInput(f'git.bundle: "{locator}" has no scheme')
    name = parse_blob_name(scheme, place)
    if name.digest.algorithm != "sha256":
        raise InvalidInput(f"git.bundle: {locator}: the digest must be a sha256")
    return name


class GitBundle:
    """A bundle in a blob."""

    def __init__(self, name: BlobName, place: BlobOrigin, blobs: BlobStore) -> None:
        self.name = name
        self._place = place
        self._blobs = blobs

    def material(self) -> BlobMaterial:
        return BlobMaterial(str(self.name.reference), self.name.digest, self.name.local)

    def unpack(self, git: GitCommand, bare: str, cancel: Cancellation) -> None:
        """Make a bare repository with the content of the bundle, at a path that does not exist.

        Raises NotFound, Unavailable, Corrupt (not a bundle, or prerequisites are missing).
        """
        self._place.bring(self.name.digest, self._blobs, cancel)
        file = self._blobs.path(self.name.digest)
        # Git itself would follow a file that names a local repository.
        kind = bundle_kind(file)
        if not kind:
            raise Corrupt(f"{self.name} is not a git bundle")
        try:
            git.init_bare(bare, kind, cancel)
            git.run(cancel, "fetch", "-q", "--", file, "+refs/*:refs/*", at=bare, local=True)
        except GitFailed as failed:
            raise Corrupt(
                f"{self.name}: {failed.complaint}",
                hint="a bundle must not depend on commits that it does not contain",
            ) from None


def bundle_kind(file: str) -> str:
    """`sha1` or `sha256` by a bundle's header (git's `gitformat-bundle`); "" if it has none."""
    with open(open_regular(file), "rb") as bundle:
        signature = bundle.readline(32)
        if signature == b"# v2 git bundle\n":
            return "sha1"
        if signature != b"# v3 git bundle\n":
            return ""
        while (line := bundle.readline(_LINE)).startswith(b"@"):
            key, _, value = line.rstrip(b"\n").partition(b"=")
            if key == b"@object-format":
                return {b"sha1": "sha1", b"sha256": "sha256"}.get(value, "")
    return "sha1"


def write_bundle(
    git: GitCommand, bare: str, commit: str, name: str, path: str, cancel: Cancellation
) -> None:
    """Write a commit and its history to a new file `path`. `bare` must have the whole history. The
    same history gives the same file.

    `name` is the ref in the bundle, if it is a ref. A branch cannot point to an annotated tag, so
    it gets the commit of the tag.
    """
    ref = name if name.startswith("refs/") else _NAMELESS
    meant = commit if ref.startswith("refs/tags/") else f"{commit}^{{commit}}"
    git.run(cancel, "update-ref", ref, meant, at=bare, local=True)
    one_thread = ("-c", "pack.threads=1")
    git.run(cancel, *one_thread, "bundle", "create", "-q", path, ref, at=bare, local=True)
    os.chmod(path, 0o666)  # BuildKit's
