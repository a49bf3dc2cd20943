"""Credentials for registries, as `docker login` and its helpers store them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol

from lamina.base.errors import InvalidInput, NotFound, PermissionDenied, from_os_error
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.registry.url import Url
    from lamina.system.cancel import Cancellation

HUB_KEY = "https://index.docker.io/v1/"


class Credentials(NamedTuple):
    """A name and password, an identity token to exchange, or a bearer token."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    def __repr__(self) -> str:
        return f"Credentials({self.username!r}, …)"


class CredentialSource(Protocol):
    """Provides credentials by registry name (`docker.io`, `ghcr.io`, `host:5000`)."""

    def lookup(self, domain: str) -> Credentials | None:
        """The credentials. None: use no credentials. Raises a LaminaError if the lookup fails."""
        ...


class BearerRequest(NamedTuple):
    """The parameters of a Bearer challenge. `scope` has the scopes, separated by spaces."""

    realm: Url
    service: str
    scope: str


class BearerToken(NamedTuple):
    """A bearer token. `life` is in seconds."""

    value: str
    life: float

    def __repr__(self) -> str:
        return f"BearerToken(…, {self.life})"


class TokenSource(Protocol):
    """Fetches tokens, so that the registry client need not know the credentials."""

    def token(self, domain: str, wanted: BearerRequest, cancel: Cancellation) -> BearerToken | None:
        """A token; None if the source fetches none for this registry.

        `domain` is as in `CredentialSource`. Raises PermissionDenied, Unavailable, Cancelled.
        """


class Logins(CredentialSource, TokenSource, Protocol):
    """The credentials of a user or client, or tokens fetched with them."""


class SessionLogins(Logins, Protocol):
    """The credentials of a session's client."""

    def spare_token(
        self, domain: str, wanted: BearerRequest, cancel: Cancellation
    ) -> BearerToken | None:
        """A token for a request for which no requester has credentials; None if there is none."""


class Anonymous:
    """Has no credentials."""

    def lookup(self, domain: str) -> Credentials | None:
        return None

    def token(self, domain: str, wanted: BearerRequest, cancel: Cancellation) -> BearerToken | None:
        return None

    spare_token = token


class DockerConfig:
    """`config.json` in `$DOCKER_CONFIG`, else `~/.docker`. Read once, at the first lookup.

    For `credHelpers` and `credsStore`, runs `docker-credential-<name> get`.
    """

    def __init__(self, path: str | None = None) -> None:
        self._path = path or config_path()
        self._document: dict[str, Any] | None = None

    @property
    def folder(self) -> str:
        return os.path.dirname(self._path)

    def lookup(self, domain: str) -> Credentials | None:
        document = self._load()
        keys = _keys(domain)
        helpers = _table(document, "credHelpers")
        for key in keys:
            if helpers.get(key):
                return _ask_helper(str(helpers[key]), key)
        auths = _table(document, "auths")
        entry = next((e for k, e in auths.items() if _canonical(k) in keys), None)
        if isinstance(entry, dict) and (found := _from_entry(entry, self._path)):
            return found
        store = document.get("credsStore")
        if store:
            return _ask_helper(str(store), HUB_KEY if domain == "docker.io" else domain)
        return None

    def _load(self) -> dict[str, Any]:
        if self._document is None:
            import json

            try:
                with open(self._path, "rb") as file:
                    document = json.load(file)
            except (FileNotFoundError, NotADirectoryError):
                document = {}
            except OSError as error:
                raise from_os_error(error, "read") from error
            except ValueError as error:
                raise InvalidInput(f"{self._path} is not valid JSON: {error}") from error
            if not isinstance(document, dict):
                raise InvalidInput(f"{self._path} is not a JSON object")
            self._document = document
        return self._document


def config_path() -> str:
    """Docker's `config.json`: below `DOCKER_CONFIG`, else `~/.docker`."""
    folder = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    return os.path.join(folder, "config.json")


def _table(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _keys(domain: str) -> tuple[str, ...]:
    if domain == "docker.io":
        return (HUB_KEY, "index.docker.io", "docker.io", "registry-1.docker.io")
    return (domain,)


def _canonical(key: str) -> str:
    """Keys are hosts, or URLs as old versions of Docker wrote them."""
    if key == HUB_KEY:
        return key
    return key.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _from_entry(entry: dict[str, Any], path: str) -> Credentials | None:
    from base64 import b64decode

    username, password = str(entry.get("username", "")), str(entry.get("password", ""))
    if entry.get("auth"):
        try:
            pair = b64decode(str(entry["auth"]), validate=True).decode()
        except ValueError as error:
            raise InvalidInput(f"{path}: an `auth` entry is not valid base64") from error
        username, _, password = pair.partition(":")
        password = password.rstrip("\0")
    found = Credentials(
        username,
        password,
        str(entry.get("identitytoken", "")),
        str(entry.get("registrytoken", "")),
    )
    return found if any(found) else None


def _ask_helper(name: str, server: str) -> Credentials | None:
    """Run a helper with the server's name as input; it prints JSON (docker-credential-helpers'
    protocol)."""
    import json

    try:
        output = run_helper(name, "get", server, server)
    except NotFound:
        return None  # as in Docker, a missing helper or entry means no credentials
    try:
        answer = json.loads(output)
        username, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError) as error:
        raise PermissionDenied(
            f"the credential helper {name} returned an invalid answer"
        ) from error
    if username == "<token>":
        return Credentials(identity_token=secret)
    return Credentials(username, secret)


def run_helper(name: str, action: str, text: str, server: str) -> bytes:
    """Run `docker-credential-<name> <action>` with `text` as its input. Returns its output.

    Raises NotFound if it is not installed or has no such entry, PermissionDenied.
    """
    import subprocess

    program = f"docker-credential-{name}"
    if "/" in name:
        raise InvalidInput(f'"{name}" is not the name of a credential helper')
    try:
        done = subprocess.run(
            [program, action], input=text.encode(), capture_output=True, check=False, timeout=60
        )
    except FileNotFoundError:
        raise NotFound(
            f"the credential helper {program} is not installed",
            hint="install it, or remove it from Docker's config.json",
        ) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PermissionDenied(f"cannot run the credential helper {program}: {error}") from error
    if done.returncode:
        said = (done.stdout + done.stderr).decode(errors="replace").strip()[:200]
        if "credentials not found" in said.lower():
            raise NotFound(f"the credential helper {program} has no credentials for {server}")
        raise PermissionDenied(f"the credential helper {program} failed for {server}: {said}")
    return done.stdout
