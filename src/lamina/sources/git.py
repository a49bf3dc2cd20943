"""The git source: a commit's files, fetched by the machine's own git."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.base.digest import digest_of
from lamina.base.errors import Corrupt, InvalidInput, NotFound, Unavailable
from lamina.base.git_url import GitUrl, is_commit
from lamina.refs.ref import Ref
from lamina.solver.contract import CacheMap
from lamina.system.process import pump, spawn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lamina.refs.pool import RefPool
    from lamina.session.contract import Session
    from lamina.solver.contract import OpContext
    from lamina.system.cancel import Cancellation

_PROTOCOLS = "http:https:ssh:git"
_IN_UMASK = 'umask 022; exec git "$@"'


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
    """One commit, keyed by its name.

    What was fetched stays in `repositories`, one bare repository for each remote, so that the
    next fetch brings only what is new.

    Args:
        session: lends the secret `GIT_AUTH_TOKEN` (or `GIT_AUTH_TOKEN.host`) for http(s), and
            the agent `default` for ssh.
    """

    def __init__(
        self, url: GitUrl, repositories: str, scratch: str, pool: RefPool, session: Session
    ) -> None:
        self._url = url
        self._repositories = repositories
        self._scratch = scratch
        self._pool = pool
        self._session = session
        self._commit = ""
        self._name = ""

    def cache_map(self, context: OpContext) -> CacheMap:
        self._resolve(context.cancel)
        url = self._url
        kept = f" .git {self._name}" if url.keep_git_dir else ""
        shape = f"git.v1 {self._commit} {url.folder} {url.submodules}{kept}"
        return CacheMap(digest_of(shape.encode()))

    def fetch(self, context: OpContext) -> Ref:
        if not self._commit:
            self._resolve(context.cancel)
        work = os.path.join(self._scratch, os.urandom(8).hex())
        try:
            self._check_out(work, context.cancel)
            source = os.path.join(work, self._url.folder) if self._url.folder else work
            if not os.path.realpath(source).startswith(os.path.realpath(work)):
                raise InvalidInput(f"{self._url.remote}: {self._url.folder} points outside")
            if not os.path.isdir(source):
                raise NotFound(f"{self._url.remote} has no folder {self._url.folder}")
            with self._pool.writable(Ref(), context.cancel) as (path, staged):
                for entry in os.listdir(source):
                    shutil.move(os.path.join(source, entry), os.path.join(path, entry))
            return self._pool.commit(staged, Ref(), f"git {self._url.remote}")
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _resolve(self, cancel: Cancellation) -> None:
        """Find out which commit the ref is. A branch goes before a tag of the same name."""
        url = self._url
        if is_commit(url.ref):
            self._commit = self._name = url.ref
        else:
            wanted = url.ref or "HEAD"
            listed = self._git(cancel, "ls-remote", "--", url.remote, wanted, wanted + "^{}")
            pairs = (line.partition("\t") for line in listed.splitlines())
            names: dict[str, str] = {name: commit for commit, _, name in pairs}
            for name in (f"refs/heads/{wanted}", f"refs/tags/{wanted}", wanted, f"refs/{wanted}"):
                if name in names:
                    self._name = name
                    self._commit = names.get(name + "^{}", names[name])
                    break
            else:
                raise NotFound(
                    f"{url.remote} has no ref {wanted}", hint="check the branch, tag or commit"
                )
        if url.commit and not self._commit.startswith(url.commit):
            raise Corrupt(
                f"{url.remote}: expected checksum to match {url.commit}, got {self._commit}",
                hint="the ref has moved, or --checksum is of another commit",
            )

    def _check_out(self, work: str, cancel: Cancellation) -> None:
        url = self._url
        with self._repository(cancel) as bare:
            if not self._has(bare, cancel):
                self._bring(bare, cancel)
            self._git(cancel, "init", "-q", work)
            fetched = ("fetch", "-q", "--depth=1", "--", bare, self._commit)
            self._git(cancel, "-C", work, *fetched, local=True)
        self._git(cancel, "-C", work, "checkout", "-q", "--detach", self._commit)
        self._git(cancel, "-C", work, "remote", "add", "origin", url.remote)
        if url.submodules and os.path.exists(os.path.join(work, ".gitmodules")):
            update = ("submodule", "update", "-q", "--init", "--recursive", "--depth=1")
            self._git(cancel, "-C", work, *update)
        if not url.keep_git_dir:
            for folder, folders, files in os.walk(work):
                if ".git" in folders:
                    shutil.rmtree(os.path.join(folder, ".git"))
                    folders.remove(".git")
                if ".git" in files and folder != work:
                    os.unlink(os.path.join(folder, ".git"))

    @contextmanager
    def _repository(self, cancel: Cancellation) -> Iterator[str]:
        """The remote's bare repository, held alone."""
        name = digest_of(self._url.remote.encode()).hex[:32]
        bare = os.path.join(self._repositories, name)
        with open(bare + ".lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.isdir(bare):
                fresh = os.path.join(self._scratch, os.urandom(8).hex())
                self._git(cancel, "init", "-q", "--bare", fresh)
                self._git(cancel, "-C", fresh, "config", "uploadpack.allowAnySHA1InWant", "true")
                os.rename(fresh, bare)
            yield bare

    def _has(self, bare: str, cancel: Cancellation) -> bool:
        try:
            self._git(cancel, "-C", bare, "cat-file", "-e", self._commit + "^{tree}")
        except Unavailable:
            return False
        return True

    def _bring(self, bare: str, cancel: Cancellation) -> None:
        """Fetch the commit alone; by its ref, or with all refs, from servers that insist."""
        remote = self._url.remote
        into = f"refs/lamina/{self._commit}"
        attempts: list[tuple[str, ...]] = [("--depth=1", "--", remote, f"+{self._commit}:{into}")]
        if self._name != self._commit:
            attempts.append(("--depth=1", "--", remote, f"+{self._name}:{into}"))
        attempts.append(("--", remote, "+refs/*:refs/remotes/*"))
        for number, attempt in enumerate(attempts):
            try:
                self._git(cancel, "-C", bare, "fetch", "-q", "--no-tags", *attempt)
            except Unavailable:
                if number == len(attempts) - 1:
                    raise
                continue
            if self._has(bare, cancel):
                return
        raise NotFound(f"{remote} has no commit {self._commit}")

    def _git(self, cancel: Cancellation, *arguments: str, local: bool = False) -> str:
        """Run git; what it printed. Raises Unavailable with its complaint."""
        out: list[bytes] = []
        err: list[bytes] = []
        out_read, out_write = os.pipe2(os.O_CLOEXEC)
        err_read, err_write = os.pipe2(os.O_CLOEXEC)
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            try:
                child = spawn(
                    ["sh", "-c", _IN_UMASK, "git", *arguments],
                    stdin=null,
                    stdout=out_write,
                    stderr=err_write,
                    env=self._environment(local=local),
                    own_group=True,
                )
            finally:
                for fd in (null, out_write, err_write):
                    os.close(fd)
            with child, cancel.calling(lambda: _kill_group(child.pid)):
                pump({out_read: out.append, err_read: err.append})
                code = child.wait()
        finally:
            os.close(out_read)
            os.close(err_read)
        cancel.check()
        if code == 127:
            raise NotFound("git is not installed", hint="apt-get install git")
        if code:
            complaint = b"".join(err).decode(errors="replace").strip() or f"status {code}"
            raise Unavailable(
                f"git {self._url.remote}: {complaint}",
                hint="check the address; a private repository needs --secret "
                "id=GIT_AUTH_TOKEN,… or --ssh default",
            )
        return b"".join(out).decode(errors="surrogateescape")

    def _environment(self, *, local: bool) -> dict[str, str]:
        kept = ("PATH", "http_proxy", "https_proxy", "no_proxy", "HTTPS_PROXY", "SSL_CERT_FILE")
        environ = {name: os.environ[name] for name in kept if name in os.environ}
        environ |= {
            "HOME": self._scratch,  # neither the user's nor the system's settings
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": "file" if local else _PROTOCOLS,
            "LC_ALL": "C",
        }
        settings = [("safe.directory", "*"), ("init.defaultBranch", "master")]
        header = self._authorization()
        if header and not local:
            scope = "/".join(self._url.remote.split("/")[:3])
            settings.append((f"http.{scope}/.extraHeader", f"Authorization: {header}"))
        environ["GIT_CONFIG_COUNT"] = str(len(settings))
        for number, (key, value) in enumerate(settings):
            environ[f"GIT_CONFIG_KEY_{number}"] = key
            environ[f"GIT_CONFIG_VALUE_{number}"] = value
        if not self._url.remote.startswith(("http://", "https://", "git://")):
            known = os.path.join(self._scratch, "known_hosts")
            environ["GIT_SSH_COMMAND"] = (
                f"ssh -F none -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile={known}"
            )
            socket = self._session.ssh_socket("default")
            if socket:
                environ["SSH_AUTH_SOCK"] = socket
        return environ

    def _authorization(self) -> str:
        from base64 import b64encode

        if not self._url.remote.startswith(("http://", "https://")):
            return ""
        host = self._url.remote.split("/")[2]
        for secret in (f"GIT_AUTH_HEADER.{host}", "GIT_AUTH_HEADER"):
            value = self._session.secret(secret)
            if value:
                return value.decode().strip()
        for secret in (f"GIT_AUTH_TOKEN.{host}", "GIT_AUTH_TOKEN"):
            value = self._session.secret(secret)
            if value:
                return "Basic " + b64encode(b"x-access-token:" + value.strip()).decode()
        return ""


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
