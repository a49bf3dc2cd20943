"""A git repository's commit, fetched and checked out by the machine's own git."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.base.digest import digest_of
from lamina.base.errors import Corrupt, InvalidInput, NotFound, Unavailable
from lamina.base.git_url import is_commit
from lamina.system.process import pump, spawn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.base.git_url import GitUrl
    from lamina.session.contract import Session
    from lamina.system.cancel import Cancellation

_PROTOCOLS = "http:https:ssh:git"
_IN_UMASK = 'umask 022; exec git "$@"'


class GitRemote:
    """What a git URL names. `commit` and `name` (the full ref) are known after `resolve`.

    Args:
        repositories: a folder where what was fetched stays, one bare repository for each
            remote, so that the next fetch brings only what is new.
        scratch: a folder of this process's own.
        session: lends the secret `GIT_AUTH_TOKEN` (or `GIT_AUTH_TOKEN.host`) for http(s), and
            the agent `default` for ssh.
    """

    def __init__(self, url: GitUrl, repositories: str, scratch: str, session: Session) -> None:
        self._url = url
        self._repositories = repositories
        self._scratch = scratch
        self._session = session
        self.commit = ""
        self.name = ""

    def resolve(self, cancel: Cancellation) -> None:
        """Find out which commit the ref is. A branch goes before a tag of the same name.

        Raises NotFound, Unavailable, Corrupt (not the commit that the URL asks for).
        """
        url = self._url
        if is_commit(url.ref):
            self.commit = self.name = url.ref
        else:
            wanted = url.ref or "HEAD"
            listed = self._git(cancel, "ls-remote", "--", url.remote, wanted, wanted + "^{}")
            pairs = (line.partition("\t") for line in listed.splitlines())
            names: dict[str, str] = {name: commit for commit, _, name in pairs}
            for name in (f"refs/heads/{wanted}", f"refs/tags/{wanted}", wanted, f"refs/{wanted}"):
                if name in names:
                    self.name = name
                    self.commit = names.get(name + "^{}", names[name])
                    break
            else:
                raise NotFound(
                    f"{url.remote} has no ref {wanted}", hint="check the branch, tag or commit"
                )
        if url.commit and not self.commit.startswith(url.commit):
            raise Corrupt(
                f"{url.remote}: expected checksum to match {url.commit}, got {self.commit}",
                hint="the ref has moved, or --checksum is of another commit",
            )

    def check_out(self, work: str, cancel: Cancellation) -> str:
        """Check the commit out into a new folder `work`. Returns where the URL's folder is.

        Raises NotFound, Unavailable, InvalidInput (a folder that leads outside).
        """
        url = self._url
        with self._repository(cancel) as bare:
            if not self._has(bare, cancel):
                self._bring(bare, cancel)
            self._git(cancel, "init", "-q", work)
            fetched = ("fetch", "-q", "--depth=1", "--", bare, self.commit)
            self._git(cancel, "-C", work, *fetched, local=True)
        self._git(cancel, "-C", work, "checkout", "-q", "--detach", self.commit)
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
        chosen = os.path.join(work, url.folder) if url.folder else work
        if os.path.commonpath((os.path.realpath(work), os.path.realpath(chosen))) != (
            os.path.realpath(work)
        ):
            raise InvalidInput(f"{url.remote}: {url.folder} points outside")
        if not os.path.isdir(chosen):
            raise NotFound(f"{url.remote} has no folder {url.folder}")
        return chosen

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
            self._git(cancel, "-C", bare, "cat-file", "-e", self.commit + "^{tree}")
        except Unavailable:
            return False
        return True

    def _bring(self, bare: str, cancel: Cancellation) -> None:
        """Fetch the commit alone; by its ref, or with all refs, from servers that insist."""
        remote = self._url.remote
        into = f"refs/lamina/{self.commit}"
        attempts: list[tuple[str, ...]] = [("--depth=1", "--", remote, f"+{self.commit}:{into}")]
        if self.name != self.commit:
            attempts.append(("--depth=1", "--", remote, f"+{self.name}:{into}"))
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
        raise NotFound(f"{remote} has no commit {self.commit}")

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
