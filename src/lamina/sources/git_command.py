"""Runs git for one remote, without the settings of the machine."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, NotFound, Unavailable
from lamina.base.git_url import is_ssh
from lamina.base.named_tuple import NamedTuple
from lamina.base.redact import redacted
from lamina.system.process import pump, spawn

if TYPE_CHECKING:
    from lamina.session.contract import Session
    from lamina.system.cancel import Cancellation

_PROTOCOLS = "http:https:ssh:git"
_IN_UMASK = 'umask 022; exec git "$@"'
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")
_KEPT = ("PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", *_PROXIES, *map(str.upper, _PROXIES))
_HOST_WIDE = ("https://github.com/", "https://www.github.com/")
"""Hosts whose tokens are valid for all repositories."""


class GitAccess(NamedTuple):
    """Access to a remote: IDs of secrets and agents of the session, and the known hosts of ssh.

    Secrets are looked up under `<id>.<host>` first. `agent` is the ID of the required SSH agent;
    "": a remote over ssh is tried with the agent `default`, or without one.
    """

    token_secret: str = "GIT_AUTH_TOKEN"
    header_secret: str = "GIT_AUTH_HEADER"
    known_hosts: str = ""
    agent: str = ""


class GitFailed(Unavailable):
    """Git has failed. `complaint` is its message, without passwords."""

    def __init__(self, remote: str, complaint: str) -> None:
        super().__init__(
            f"git {remote}: {complaint}",
            hint="check the address; a private repository needs --secret id=GIT_AUTH_TOKEN,… "
            "or --ssh default",
        )
        self.complaint = complaint

    @property
    def over_depth(self) -> bool:
        """Whether the server does not support shallow clones: plain files over HTTP do not."""
        return "--depth" in self.complaint or "shallow" in self.complaint

    @property
    def over_name(self) -> bool:
        """Whether the server refuses to send the named commit, though it may have it."""
        said = self.complaint
        return any(
            phrase in said
            for phrase in (
                "not our ref",
                "unadvertised object",
                "find remote ref",
                "Unable to find ",
            )
        )


class GitCommand:
    """Runs git for a remote.

    User name and password are removed from the remote's address, so that no process list, message
    or `.git/config` contains them. Git gets them as a header, in its environment.

    Args:
        scratch: a directory of this process.
    """

    def __init__(self, remote: str, access: GitAccess, scratch: str, session: Session) -> None:
        self.remote, self._userinfo = _without_userinfo(remote)
        self.shown = redacted(remote)
        self._access = access
        self._scratch = scratch
        self._session = session
        self._settings: tuple[tuple[str, str], ...] | None = None

    def run(self, cancel: Cancellation, *arguments: str, at: str = "", local: bool = False) -> str:
        """Run `git <arguments>` in the directory `at`. Returns its output. `local` is for commands
        that may read repositories on this machine and do not connect to a server.

        Raises GitFailed; NotFound (no git, no agent); InvalidInput (an address that git
        cannot be given).
        """
        out: list[bytes] = []
        err: list[bytes] = []
        environ = self._environment(cancel, local=local)
        out_read, out_write = os.pipe2(os.O_CLOEXEC)
        err_read, err_write = os.pipe2(os.O_CLOEXEC)
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            try:
                child = spawn(
                    ["sh", "-c", _IN_UMASK, "git", *(("-C", at) if at else ()), *arguments],
                    stdin=null,
                    stdout=out_write,
                    stderr=err_write,
                    env=environ,
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
            raise GitFailed(self.shown, redacted(complaint))
        return b"".join(out).decode(errors="surrogateescape")

    def init_bare(self, path: str, kind: str, cancel: Cancellation) -> None:
        """Make an empty bare repository, of `sha1` or `sha256`, that serves all its objects."""
        self.run(cancel, "init", "-q", "--bare", f"--object-format={kind}", path)
        self.run(cancel, "config", "uploadpack.allowAnySHA1InWant", "true", at=path)

    def shallow(self, cancel: Cancellation, *arguments: str, at: str) -> None:
        """Run git with `--depth=1` after the first two arguments, or with the whole history if the
        server does not support that.
        """
        first, rest = arguments[:2], arguments[2:]
        try:
            self.run(cancel, *first, "--depth=1", *rest, at=at)
        except GitFailed as failed:
            if not failed.over_depth:
                raise
            self.run(cancel, *arguments, at=at)

    def _environment(self, cancel: Cancellation, *, local: bool) -> dict[str, str]:
        environ = {name: os.environ[name] for name in _KEPT if name in os.environ}
        environ |= {
            "HOME": self._scratch,  # neither the user's nor the system's settings
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": "file" if local else _PROTOCOLS,
            "LC_ALL": "C",
        }
        settings = [("safe.directory", "*"), ("init.defaultBranch", "master")]
        if not local:
            settings += self._authorization(cancel)
            if is_ssh(self.remote):
                environ |= self._ssh(cancel)
        environ["GIT_CONFIG_COUNT"] = str(len(settings))
        for number, (key, value) in enumerate(settings):
            environ[f"GIT_CONFIG_KEY_{number}"] = key
            environ[f"GIT_CONFIG_VALUE_{number}"] = value
        return environ

    def _ssh(self, cancel: Cancellation) -> dict[str, str]:
        access = self._access
        known = os.path.join(self._scratch, "known_hosts")
        checking = "accept-new"
        if access.known_hosts:
            known = os.path.join(self._scratch, f"known_hosts-{os.getpid()}-{id(self):x}")
            checking = "yes"
            with open(known, "w", encoding="utf-8") as file:
                file.write(access.known_hosts)
        command = f"ssh -F none -o StrictHostKeyChecking={checking} -o UserKnownHostsFile={known}"
        socket = self._session.ssh_socket(access.agent or "default", cancel)
        if access.agent and not socket:
            raise NotFound(
                f'{self.shown}: no SSH key "{access.agent}" forwarded from the client',
                hint="expose an SSH agent with --ssh default",
            )
        environ = {"GIT_SSH_COMMAND": command}
        return environ | ({"SSH_AUTH_SOCK": socket} if socket else {})

    def _authorization(self, cancel: Cancellation) -> tuple[tuple[str, str], ...]:
        """Settings of git that authorize requests to the remote."""
        if self._settings is None:
            self._settings = tuple(self._headers(cancel))
        return self._settings

    def _headers(self, cancel: Cancellation) -> list[tuple[str, str]]:
        if not self.remote.startswith(("http://", "https://")):
            return []
        root = "/".join(self.remote.split("/")[:3]) + "/"
        if self._userinfo:
            from urllib.parse import unquote_to_bytes

            # For all repositories of the host: submodules often have relative URLs.
            return [(f"http.{root}.extraHeader", _basic(unquote_to_bytes(self._userinfo)))]
        header = self._header(root.split("/")[2], cancel)
        if not header:
            return []
        scope = next((wide for wide in _HOST_WIDE if self.remote.startswith(wide)), self.remote)
        return [(f"http.{scope}.extraHeader", header)]

    def _header(self, host: str, cancel: Cancellation) -> str:
        access = self._access
        for suffix in (f".{host}", ""):
            if access.header_secret:
                value = self._session.secret(access.header_secret + suffix, cancel)
                if value:
                    return "Authorization: " + value.decode("utf-8", "surrogateescape").strip()
            if access.token_secret:
                value = self._session.secret(access.token_secret + suffix, cancel)
                if value:
                    return _basic(b"x-access-token:" + value.strip())
        return ""


def _basic(userinfo: bytes) -> str:
    from base64 import b64encode

    if b":" not in userinfo:
        userinfo += b":"
    return "Authorization: Basic " + b64encode(userinfo).decode()


def _without_userinfo(remote: str) -> tuple[str, str]:
    """An HTTP address without its user name and password, and those two."""
    scheme, mark, rest = remote.partition("://")
    if not mark or scheme not in ("http", "https"):
        return remote, ""
    authority, slash, path = rest.partition("/")
    userinfo, at, host = authority.rpartition("@")
    if at and not host:
        raise InvalidInput(f"{redacted(remote)}: no host")
    return f"{scheme}://{host}{slash}{path}", userinfo


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
