"""The git source: a commit's files."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, Unsupported
from lamina.base.git_url import GitUrl, is_commit
from lamina.refs.ref import Ref
from lamina.solver.contract import CacheMap
from lamina.sources.contract import source_digest
from lamina.sources.git_command import GitAccess
from lamina.system.clone import clone_tree
from lamina.system.removal import discard_tree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.refs.manager import RefManager
    from lamina.solver.contract import OpContext
    from lamina.sources.git_remote import GitRemote
    from lamina.sources.material import Material

_AS_BUNDLE = "git.checkoutbundle"
_UNSUPPORTED = {
    "git.sig.pubkey": "signatures of git commits",
    "git.sig.requiresignedtag": "signatures of git commits",
}


def git_url_of(place: str, attrs: Mapping[str, str]) -> GitUrl:
    """The URL of a `git://` source of a definition. `place` is the part after the scheme.

    Raises Unsupported for unknown attributes that must not be ignored, InvalidInput for those that
    cannot be combined.
    """
    for key, what in _UNSUPPORTED.items():
        if attrs.get(key, "") not in ("", "false"):
            raise Unsupported(f"{what} ({key}) are not supported")
    address, _, fragment = place.partition("#")
    ref, _, folder = fragment.partition(":")
    url = GitUrl(
        _with_scheme(attrs.get("git.fullurl") or address),
        ref,
        folder.strip("/"),
        attrs.get("git.checksum", ""),
        attrs.get("git.keepgitdir") == "true",
        attrs.get("git.skipsubmodules") != "true",
        attrs.get("git.mtime", ""),
        attrs.get("git.fetchbycommit") == "true",
    )
    if attrs.get("git.bundle"):
        if not url.commit:
            raise InvalidInput("git.bundle requires git.checksum to be set")
        if is_commit(url.ref) and not url.ref.startswith(url.commit.lower()):
            raise InvalidInput(f"expected checksum to match {url.commit}, got {url.ref}")
    if is_bundle_wanted(attrs):
        for other, is_set in (("keepgitdir", url.keep_git_dir), ("subdir", url.folder)):
            if is_set:
                raise InvalidInput(f"{_AS_BUNDLE} is incompatible with git.{other}")
    return url


def git_access_of(attrs: Mapping[str, str]) -> GitAccess:
    """The credentials and keys for the remote of that source."""
    return GitAccess(
        attrs.get("git.authtokensecret", ""),
        attrs.get("git.authheadersecret", ""),
        attrs.get("git.knownsshhosts", ""),
        attrs.get("git.mountsshsock", ""),
    )


def _with_scheme(address: str) -> str:
    return address if "://" in address or "@" in address.partition(":")[0] else f"https://{address}"


def is_bundle_wanted(attrs: Mapping[str, str]) -> bool:
    """Whether a `git://` source requests a bundle of the commit's history instead of its files."""
    return attrs.get(_AS_BUNDLE) == "true"


class GitSource:
    """One commit, keyed by its name: its files or, `as_bundle`, one file `bundle`."""

    def __init__(
        self,
        url: GitUrl,
        remote: GitRemote,
        scratch: str,
        refs: RefManager,
        *,
        as_bundle: bool = False,
    ) -> None:
        self._url = url
        self.remote = remote
        self._scratch = scratch
        self._refs = refs
        self._as_bundle = as_bundle

    def cache_map(self, context: OpContext) -> CacheMap:
        url, remote = self._url, self.remote
        remote.resolve(context.cancel)
        key = remote.commit
        if url.keep_git_dir:
            key += f".git#{remote.name}"
        elif not is_commit(remote.name):
            key = remote.peeled or key  # one key for all refs of a commit
        if url.folder:
            key += f":{url.folder}"
        if not url.submodules:
            key += "(skip-submodules)"
        if url.mtime not in ("", "checkout"):
            key += f"(mtime={url.mtime})"
        if self._as_bundle:
            key += "(bundle)"
        return CacheMap(
            source_digest(key), resolved=f"{remote.name} {remote.peeled or remote.commit}"
        )

    def material(self) -> Material | None:
        if not self.remote.commit:
            return None
        from lamina.sources.material import GitMaterial

        ref = f"#{self._url.ref}" if self._url.ref else ""
        bundle = self.remote.bundle
        read = None if bundle is None else bundle.material()
        return GitMaterial(self.remote.shown + ref, self.remote.commit, read)

    def fetch(self, context: OpContext) -> Ref:
        remote = self.remote
        if not remote.commit:
            remote.resolve(context.cancel)
        work = os.path.join(self._scratch, os.urandom(8).hex())
        try:
            if self._as_bundle:
                return self._bundle(work, context)
            source = remote.check_out(work, context.cancel)
            with self._refs.writable(Ref(), context.cancel) as (path, staged):
                modified = os.stat(source).st_mtime_ns
                for entry in os.listdir(source):
                    _move(os.path.join(source, entry), os.path.join(path, entry))
                os.utime(path, ns=(modified, modified))
            description = f"git snapshot for {remote.shown}#{self._url.ref}"
            return self._refs.commit(staged, Ref(), description)
        finally:
            discard_tree(work)

    def _bundle(self, work: str, context: OpContext) -> Ref:
        with self._refs.writable(Ref(), context.cancel) as (path, staged):
            self.remote.write_bundle(os.path.join(path, "bundle"), work, context.cancel)
        return self._refs.commit(staged, Ref(), f"git bundle of {self.remote.shown}")


def _move(source: str, target: str) -> None:
    """Rename, or copy between file systems. The source directory is removed soon anyway."""
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        clone_tree(source, target)
