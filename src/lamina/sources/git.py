"""The git source: a commit's files."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from lamina.base.errors import Unsupported
from lamina.base.git_url import GitUrl, is_commit
from lamina.refs.ref import Ref
from lamina.solver.contract import CacheMap
from lamina.sources.contract import source_digest
from lamina.sources.git_command import GitAccess

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.refs.pool import RefPool
    from lamina.solver.contract import OpContext
    from lamina.sources.git_remote import GitRemote
    from lamina.sources.material import Material

_UNSUPPORTED = {
    "git.bundle": "bundles of git repositories",
    "git.checkoutbundle": "bundles of git repositories",
    "git.sig.pubkey": "signatures of git commits",
    "git.sig.requiresignedtag": "signatures of git commits",
}


def git_url_of(place: str, attrs: Mapping[str, str]) -> GitUrl:
    """A `git://` source of a definition: `place` is what follows the scheme.

    Raises Unsupported for attributes that must not be passed over.
    """
    for key, what in _UNSUPPORTED.items():
        if attrs.get(key, "") not in ("", "false"):
            raise Unsupported(f"{what} ({key}) are not supported")
    address, _, fragment = place.partition("#")
    ref, _, folder = fragment.partition(":")
    return GitUrl(
        _with_scheme(attrs.get("git.fullurl") or address),
        ref,
        folder.strip("/"),
        attrs.get("git.checksum", ""),
        attrs.get("git.keepgitdir") == "true",
        attrs.get("git.skipsubmodules") != "true",
        attrs.get("git.mtime", ""),
        attrs.get("git.fetchbycommit") == "true",
    )


def git_access_of(attrs: Mapping[str, str]) -> GitAccess:
    """What opens that source's remote."""
    return GitAccess(
        attrs.get("git.authtokensecret", ""),
        attrs.get("git.authheadersecret", ""),
        attrs.get("git.knownsshhosts", ""),
        attrs.get("git.mountsshsock", ""),
    )


def _with_scheme(address: str) -> str:
    return address if "://" in address or "@" in address.partition(":")[0] else f"https://{address}"


class GitSource:
    """One commit, keyed by its name."""

    def __init__(self, url: GitUrl, remote: GitRemote, scratch: str, pool: RefPool) -> None:
        self._url = url
        self.remote = remote
        self._scratch = scratch
        self._pool = pool

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
        return CacheMap(source_digest(key))

    def material(self) -> Material | None:
        if not self.remote.commit:
            return None
        from lamina.sources.material import GitMaterial

        ref = f"#{self._url.ref}" if self._url.ref else ""
        return GitMaterial(self.remote.shown + ref, self.remote.commit)

    def fetch(self, context: OpContext) -> Ref:
        remote = self.remote
        if not remote.commit:
            remote.resolve(context.cancel)
        work = os.path.join(self._scratch, os.urandom(8).hex())
        try:
            source = remote.check_out(work, context.cancel)
            with self._pool.writable(Ref(), context.cancel) as (path, staged):
                modified = os.stat(source).st_mtime_ns
                for entry in os.listdir(source):
                    shutil.move(os.path.join(source, entry), os.path.join(path, entry))
                os.utime(path, ns=(modified, modified))
            description = f"git snapshot for {remote.shown}#{self._url.ref}"
            return self._pool.commit(staged, Ref(), description)
        finally:
            shutil.rmtree(work, ignore_errors=True)
