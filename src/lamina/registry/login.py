"""Login and logout: the check with the registry, and Docker's `config.json`."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from lamina.base.errors import InvalidInput, NotFound, PermissionDenied, from_os_error
from lamina.base.reference import Reference
from lamina.registry.credentials import HUB_KEY, Credentials, config_path, run_helper
from lamina.registry.exchange import Call, Exchange, refusal
from lamina.registry.transport import Transport

if TYPE_CHECKING:
    from lamina.registry.hosts import Hosts
    from lamina.system.cancel import Cancellation


class _FixedCredentials:
    """Provides one pair of credentials for every registry."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def lookup(self, domain: str) -> Credentials | None:
        return self._credentials


def check_login(hosts: Hosts, domain: str, credentials: Credentials, cancel: Cancellation) -> None:
    """Check credentials with the registry. Raises PermissionDenied, Unavailable, Cancelled."""
    endpoint = hosts.endpoints(domain)[-1]
    with Transport() as transport:
        exchange = Exchange(transport, _FixedCredentials(credentials))
        with exchange.ask(Call("GET", endpoint, Reference(domain, ""), "/"), cancel) as response:
            if response.status != 200:
                raise refusal(response, f"the registry {domain}")


def save_login(domain: str, credentials: Credentials, path: str = "") -> str:
    """Store credentials where Docker does. Returns where. Raises PermissionDenied, InvalidInput."""
    path = path or config_path()
    document = read_config(path)
    key = HUB_KEY if domain == "docker.io" else domain
    helper = _helper(document, key)
    if helper:
        secret = credentials.identity_token or credentials.password
        username = "<token>" if credentials.identity_token else credentials.username
        record = {"ServerURL": key, "Username": username, "Secret": secret}
        run_helper(helper, "store", json.dumps(record), key)
        document.setdefault("auths", {}).setdefault(key, {})
        write_config(path, document)
        return f"the credential helper docker-credential-{helper}"
    from base64 import b64encode

    pair = f"{credentials.username}:{credentials.password}"
    document.setdefault("auths", {})[key] = {"auth": b64encode(pair.encode()).decode()}
    write_config(path, document)
    return path


def remove_login(domain: str, path: str = "") -> None:
    """Remove the credentials for a registry. Raises NotFound if there are none,
    PermissionDenied."""
    path = path or config_path()
    document = read_config(path)
    key = HUB_KEY if domain == "docker.io" else domain
    auths = document.get("auths") or {}
    mine = [
        name
        for name in auths
        if name == key or name.split("://")[-1].split("/")[0] in (domain, f"index.{domain}")
    ]
    helper = _helper(document, key)
    if not mine and not helper:
        raise NotFound(f"not logged in to {domain}")
    if helper:
        run_helper(helper, "erase", key, key)
    for name in mine:
        del auths[name]
    if mine:
        write_config(path, document)


def _helper(document: dict[str, Any], key: str) -> str:
    helpers = document.get("credHelpers") or {}
    return str(helpers.get(key) or document.get("credsStore") or "")


def read_config(path: str) -> dict[str, Any]:
    """A JSON object of Docker's configuration, {} if there is no file.

    Raises InvalidInput, PermissionDenied.
    """
    try:
        with open(path, "rb") as file:
            document = json.load(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise from_os_error(error, "read") from error
    except ValueError as error:
        raise InvalidInput(
            f"{path} is not valid JSON: {error}", hint="repair or remove the file"
        ) from error
    if not isinstance(document, dict):
        raise InvalidInput(f"{path} is not a JSON object", hint="repair or remove the file")
    return document


def write_config(path: str, document: dict[str, Any]) -> None:
    """Replace a file atomically. If it is a link, its target is replaced. Raises
    PermissionDenied."""
    path = os.path.realpath(path)
    part = f"{path}.{os.urandom(4).hex()}.part"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        fd = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            json.dump(document, file, indent="\t", ensure_ascii=False)
        os.replace(part, path)
    except OSError as error:
        if os.path.lexists(part):
            os.unlink(part)
        translated = from_os_error(error, "write")
        if isinstance(translated, PermissionDenied):
            hint = "set DOCKER_CONFIG to a directory that you may write to"
            raise translated.with_context(hint=hint) from error
        raise translated from error
