"""The git source: a commit's files."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from lamina.base.git_url import GitUrl
from lamina.refs.ref import Ref
from lamina.solver.contract import CacheMap
from lamina.sources.contract import source_digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.refs.pool import RefPool
    from lamina.solver.contract import OpContext
    from lamina.sources.git_remote import GitRemote
    from lamina.sources.material import Material


def git_url_of(place: str, attrs: Mapping[str, str]) -> GitUrl:
    """A `git://` source of a definition: `place` is what follows the scheme."""
    address, _, fragment = place.partition("#")
    ref, _, folder = fragment.partition(":")
    return GitUrl(
        attrs.get("git.fullurl") or f"https://{address}",
        ref,
        folder.strip("/"),
        attrs.get("git.checksum", ""),
        attrs.get("git.keepgitdir") == "true",
        attrs.get("git.skipsubmodules") != "true",
    )


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
            key += ".git" + (f"#{remote.name}" if remote.name else "")
        if url.folder:
            key += f":{url.folder}"
        if not url.submodules:
            key += "(skip-submodules)"
        return CacheMap(source_digest(key))

    def material(self) -> Material | None:
        if not self.remote.commit:
            return None
        from lamina.sources.material import GitMaterial

        ref = f"#{self._url.ref}" if self._url.ref else ""
        return GitMaterial(self._url.remote + ref, self.remote.commit)

    def fetch(self, context: OpContext) -> Ref:
        if not self.remote.commit:
            self.remote.resolve(context.cancel)
        work = os.path.join(self._scratch, os.urandom(8).hex())
        try:
            source = self.remote.check_out(work, context.cancel)
            with self._pool.writable(Ref(), context.cancel) as (path, staged):
                for entry in os.listdir(source):
                    shutil.move(os.path.join(source, entry), os.path.join(path, entry))
            return self._pool.commit(staged, Ref(), f"git {self._url.remote}")
        finally:
            shutil.rmtree(work, ignore_errors=True)
