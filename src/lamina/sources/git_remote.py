"""A git repository's commit, fetched and checked out by the machine's own git."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.base.digest import digest_of
from lamina.base.errors import Corrupt, InvalidInput, NotFound
from lamina.base.git_url import is_commit
from lamina.base.named_tuple import NamedTuple
from lamina.sources.git_command import GitAccess, GitCommand, GitFailed
from lamina.system.descent import walk_tree
from lamina.system.locks import held
from lamina.system.removal import remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.base.git_url import GitUrl
    from lamina.session.contract import Session
    from lamina.sources.git_bundle import GitBundle
    from lamina.sources.pins import Pins
    from lamina.system.cancel import Cancellation

_DEFAULT_ACCESS = GitAccess()


class GitRef(NamedTuple):
    """The resolution of a ref, under the names of the attributes of `GitRemote`."""

    name: str
    commit: str
    peeled: str = ""

    def starts_with(self, commit: str) -> bool:
        """Whether it matches `commit`, the start of a commit's name or ""."""
        return any(one and one.startswith(commit.lower()) for one in (self.commit, self.peeled))


class GitRemote:
    """The repository and the ref of a git URL.

    After `resolve`, `commit` is the object of the ref (of an annotated tag the tag object),
    `peeled` the commit that such a tag points to (else ""), and `name` the full ref, or the commit
    if no ref was named.

    Args:
        repositories: a directory with one bare repository for each remote. They stay, so the next
            fetch transfers only new objects.
        scratch: a directory of this process.
        session: provides the secrets and the agent that `access` names.
        pins: earlier resolutions of refs in the same build, if there is a build.
        bundle: is read instead of the remote. The URL must name the commit.
    """

    def __init__(
        self,
        url: GitUrl,
        repositories: str,
        scratch: str,
        session: Session,
        access: GitAccess = _DEFAULT_ACCESS,
        pins: Pins | None = None,
        bundle: GitBundle | None = None,
    ) -> None:
        self._url = url
        self._repositories = repositories
        self._scratch = scratch
        self._git = GitCommand(url.remote, access, scratch, session)
        self._pins = pins
        self.bundle = bundle
        self.commit = ""
        self.peeled = ""
        self.name = ""

    @property
    def shown(self) -> str:
        """The remote's address without passwords."""
        return self._git.shown

    def resolve(self, cancel: Cancellation) -> None:
        """Find the commit of the ref. A branch takes precedence over a tag of the same name.

        Raises NotFound, Unavailable, InvalidInput, Corrupt (not the commit in the URL).
        """
        url = self._url
        if url.commit and re.fullmatch(r"[a-fA-F0-9]+", url.commit) is None:
            raise InvalidInput(
                f"invalid checksum {url.commit} for Git URL, expected hex commit hash"
            )
        if is_commit(url.ref):
            self.commit = self.name = url.ref
        elif self.bundle is not None:
            self._look_into_bundle(cancel)
        elif url.by_commit:
            self._resolve_without_request()
        elif not self._reuse_pin():
            if url.ref:
                self._look_up(cancel, self._git.remote)
            else:
                self._look_up_default(cancel)
            if self._pins is not None:
                found = GitRef(self.name, self.commit, self.peeled)
                self._pins.keep((url.remote, url.ref), found)
                self._reuse_pin()  # another process may have been earlier
        if not GitRef(self.name, self.commit, self.peeled).starts_with(url.commit):
            names = [name for name in (self.commit, self.peeled) if name]
            raise Corrupt(
                f"{self.shown}: expected checksum to match {url.commit}, got {' or '.join(names)}",
                hint="the ref has moved, or the checksum belongs to another commit",
            )

    def check_out(self, work: str, cancel: Cancellation) -> str:
        """Check out the commit to a new directory `work`. Returns the path of the URL's directory.

        Raises NotFound, Unavailable, InvalidInput (a directory that leads outside).
        """
        url, git = self._url, self._git
        with self._brought(cancel, or_peeled=not url.keep_git_dir) as bare:
            git.run(cancel, "init", "-q", f"--object-format={self._kind()}", work)
            into = [f"{self.commit}:{name}" for name in self._kept_names()] or [self.commit]
            fetch = ("fetch", "-q", "-u", "--no-tags", "--depth=1", "--", f"file://{bare}")
            git.run(cancel, *fetch, *into, at=work, local=True)
        git.run(cancel, "checkout", "-q", "--detach", self.commit, at=work, local=True)
        git.run(cancel, "remote", "add", "origin", git.remote, at=work)
        if url.submodules and os.path.exists(os.path.join(work, ".gitmodules")):
            git.shallow(cancel, "submodule", "update", "-q", "--init", "--recursive", at=work)
        if url.keep_git_dir:
            # The remote and the time of the fetch depend on this machine.
            git.run(cancel, "reflog", "expire", "--all", "--expire=now", at=work)
            os.unlink(os.path.join(work, ".git/FETCH_HEAD"))
        else:
            _drop_git_directories(work)
        folder = self._folder_in(work)
        if url.mtime == "commit":
            _set_times(folder, self.commit_time(cancel))
        return folder

    def write_bundle(self, path: str, work: str, cancel: Cancellation) -> None:
        """Write the commit and its history as a git bundle, a new file at `path`. `work` is the
        path for a temporary repository.

        Raises NotFound, Unavailable.
        """
        from lamina.sources.git_bundle import write_bundle

        git = self._git
        git.init_bare(work, self._kind(), cancel)
        if self.bundle is None:
            self._bring(work, cancel, whole=True)  # the local repository may lack history
        else:
            with self._brought(cancel) as bare:
                fetch = ("fetch", "-q", "--", f"file://{bare}", self.commit)
                git.run(cancel, *fetch, at=work, local=True)
        name = self.name if self._url.ref else ""
        write_bundle(git, work, self.commit, name, path, cancel)

    def commit_time(self, cancel: Cancellation) -> int:
        """When the commit was made, in seconds since 1970."""
        with self._brought(cancel) as bare:
            commit = f"{self.commit}^{{commit}}"
            return int(self._git.run(cancel, "log", "-1", "--format=%ct", commit, at=bare))

    def objects(self, cancel: Cancellation) -> tuple[bytes, bytes]:
        """The commit object in git's format, and the tag object, b"" if there is none."""
        with self._brought(cancel) as bare:
            kind = self._git.run(cancel, "cat-file", "-t", self.commit, at=bare).strip()
            names = ((self.commit + "^{commit}", "commit"), (self.commit, "tag"))
            commit, tag = (
                self._git.run(cancel, "cat-file", wanted, name, at=bare)
                if wanted in ("commit", kind)
                else ""
                for name, wanted in names
            )
            if kind == "tag" and not self.peeled:
                peel = ("rev-parse", self.commit + "^{commit}")
                self.peeled = self._git.run(cancel, *peel, at=bare).strip()
        return commit.encode(errors="surrogateescape"), tag.encode(errors="surrogateescape")

    def _kept_names(self) -> list[str]:
        """The refs of a checkout with its `.git`: the resolved ref and, unless that is an
        annotated tag, also those that BuildKit leaves there (`git describe --tags` prints them): a
        tag named as the ref was written, and for a lightweight tag a branch of its name.
        """
        url = self._url
        if not url.keep_git_dir or self.name == self.commit:
            return []
        names = [self.name]
        if not self.peeled:
            written = url.ref or self.name.removeprefix("refs/heads/")
            if not written.startswith("refs/tags/"):
                names.append(f"refs/tags/{written}")
            if self.name == f"refs/tags/{written}":
                names.append(f"refs/heads/{written}")
        return list(dict.fromkeys(names))

    def _reuse_pin(self) -> bool:
        """Reuse the resolution of the ref from earlier in the build, if there is one."""
        url = self._url
        known = () if self._pins is None else self._pins.known(GitRef, (url.remote, url.ref))
        for ref in known:
            if ref.starts_with(url.commit):
                self.name, self.commit, self.peeled = ref
                return True
        return False

    def _resolve_without_request(self) -> None:
        """Use the commit of the URL as that of the ref, without a request."""
        url = self._url
        if not is_commit(url.commit):
            raise InvalidInput(
                f"{self.shown}: fetch-by-commit requires a full commit SHA checksum,"
                f' got "{url.commit}"'
            )
        self.commit = self.name = url.commit
        if url.ref:
            self.name = url.ref if url.ref.startswith("refs/") else f"refs/heads/{url.ref}"

    def _look_into_bundle(self, cancel: Cancellation) -> None:
        """Find the commit in the bundle. A full commit name needs no lookup."""
        url = self._url
        if not url.ref and is_commit(url.commit):
            self.commit = self.name = url.commit
            return
        with self._repository(cancel) as bare:
            if url.ref:
                self._look_up(cancel, f"file://{bare}", local=True)
                return
            meant = ("rev-parse", "--verify", "--quiet", f"{url.commit}^{{commit}}")
            try:
                self.commit = self.name = self._git.run(cancel, *meant, at=bare).strip()
            except GitFailed:
                raise self._not_bundled(url.commit) from None

    def _not_bundled(self, commit: str) -> NotFound:
        assert self.bundle is not None
        return NotFound(f"commit {commit} not found in bundle {self.bundle.name.reference}")

    def _look_up(self, cancel: Cancellation, address: str, *, local: bool = False) -> None:
        wanted = self._url.ref
        listed = self._git.run(
            cancel, "ls-remote", "--", address, wanted, f"{wanted}^{{}}", local=local
        )
        pairs = (line.partition("\t") for line in listed.splitlines())
        names = {name: commit for commit, _, name in pairs}
        head = "refs/heads/" + wanted.removeprefix("refs/heads/")
        tag = "refs/tags/" + wanted.removeprefix("refs/tags/")
        for name in ("refs/" + wanted.removeprefix("refs/"), head, tag, wanted):
            if name in names:
                self.name, self.commit = name, names[name]
                self.peeled = names.get(f"{name}^{{}}", "")
                return
        raise NotFound(
            f"{self.shown}: repository does not contain ref {wanted}",
            hint="check the branch, tag or commit; commits need the full hash",
        )

    def _look_up_default(self, cancel: Cancellation) -> None:
        """The branch that the remote's HEAD points to, or the commit if it is detached."""
        listed = self._git.run(cancel, "ls-remote", "--symref", "--", self._git.remote, "HEAD")
        for line in listed.splitlines():
            value, _, name = line.partition("\t")
            if name == "HEAD" and value.startswith("ref: "):
                self.name = value.removeprefix("ref: ")
            elif name == "HEAD":
                self.commit = value
        if not self.commit:
            raise NotFound(
                f"could not find default branch for repository: {self.shown}",
                hint="add a branch, tag or commit: …#main",
            )
        self.name = self.name or self.commit

    @contextmanager
    def _brought(self, cancel: Cancellation, *, or_peeled: bool = False) -> Iterator[str]:
        """The remote's bare repository with the commit, locked exclusively.

        With `or_peeled`, if the tag no longer exists, the commit that it pointed to is enough: it
        becomes `commit`.
        """
        with self._repository(cancel) as bare:
            if not self._is_in(bare, cancel):
                if self.bundle is not None:
                    raise self._not_bundled(self.commit)
                try:
                    self._bring(bare, cancel)
                except NotFound:
                    if not (or_peeled and self.peeled):
                        raise
                    self.commit, self.peeled = self.peeled, ""
                    if not self._is_in(bare, cancel):
                        raise
            yield bare

    @contextmanager
    def _repository(self, cancel: Cancellation) -> Iterator[str]:
        """The bare repository of the remote or of the bundle, locked exclusively."""
        git = self._git
        kind = self._kind()
        key = (
            f"{git.remote}--object-format={kind}"
            if self.bundle is None
            else str(self.bundle.name.digest)
        )
        bare = os.path.join(self._repositories, digest_of(key.encode()).hex[:32])
        with held(bare + ".lock", cancel):
            if not os.path.isdir(bare):
                fresh = os.path.join(self._scratch, os.urandom(8).hex())
                if self.bundle is None:
                    git.init_bare(fresh, kind, cancel)
                else:
                    self.bundle.unpack(git, fresh, cancel)
                os.rename(fresh, bare)
            yield bare

    def _kind(self) -> str:
        return "sha256" if len(self.commit) == 64 else "sha1"

    def _is_in(self, bare: str, cancel: Cancellation) -> bool:
        try:
            self._git.run(cancel, "cat-file", "-e", f"{self.commit}^{{tree}}", at=bare)
        except GitFailed:
            return False
        return True

    def _bring(self, bare: str, cancel: Cancellation, *, whole: bool = False) -> None:
        """Fetch only the commit, or its `whole` history. Servers that refuse to send a commit by
        name get a request for its ref, or for all refs."""
        git = self._git
        into = f"refs/lamina/{self.commit}"
        for wanted in dict.fromkeys((self.commit, self.name)):
            try:
                fetch = ("fetch", "-q", "--no-tags", "--", git.remote, f"+{wanted}:{into}")
                (git.run if whole else git.shallow)(cancel, *fetch, at=bare)
            except GitFailed as failed:
                if not failed.over_name:
                    raise
                continue
            if self._is_in(bare, cancel):
                return
        cut = ("--unshallow",) if os.path.exists(os.path.join(bare, "shallow")) else ()
        everything = ("--no-tags", "--", git.remote, "+refs/*:refs/remotes/*")
        git.run(cancel, "fetch", "-q", *cut, *everything, at=bare)
        if not self._is_in(bare, cancel):
            raise NotFound(f"{self.shown} has no commit {self.commit}")

    def _folder_in(self, work: str) -> str:
        """The URL's directory in a checkout. Links are not followed: they may point outside."""
        folder = self._url.folder
        chosen = os.path.join(work, folder) if folder else work
        if os.path.realpath(chosen) != os.path.join(os.path.realpath(work), folder).rstrip("/"):
            raise InvalidInput(f"{self.shown}: invalid subdir {folder}: it leads through a link")
        if not os.path.isdir(chosen):
            raise NotFound(f"{self.shown} has no directory {folder}")
        return chosen


def _set_times(root: str, seconds: int) -> None:
    """Also of the directories: setting the times of their files does not change theirs."""
    times = (seconds, seconds)
    for visit in walk_tree(root):
        os.utime(visit.name, times, dir_fd=visit.folder, follow_symlinks=False)
    os.utime(root, times)


def _drop_git_directories(work: str) -> None:
    """Remove `.git` of the repository, and the `.git` files of submodules."""
    for visit in walk_tree(work):
        if visit.name == ".git" and (visit.is_directory or visit.parents):
            remove_tree(visit.name, dir_fd=visit.folder)
