"""`lamina login` and `lamina logout`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.base.reference import DEFAULT_DOMAIN, parse_reference

if TYPE_CHECKING:
    from lamina.cli.flags import Parsed


def login(parsed: Parsed) -> int:
    """Check name and password with the registry, and store them."""
    from lamina.registry.credentials import Credentials
    from lamina.registry.hosts import configured_hosts
    from lamina.registry.login import check_login, save_login
    from lamina.system.cancel import Cancellation

    domain = _domain(parsed)
    username, password = _identity(parsed)
    credentials = Credentials(username, password)
    hosts = configured_hosts()
    if parsed.switch("insecure"):
        hosts = hosts.trusting(domain)
    check_login(hosts, domain, credentials, Cancellation())
    where = save_login(domain, credentials)
    print(f"Login Succeeded\nkept in {where}")
    return 0


def logout(parsed: Parsed) -> int:
    """Remove the stored name and password of a registry."""
    from lamina.registry.login import remove_login

    domain = _domain(parsed)
    remove_login(domain)
    print(f"Removed the login to {domain}")
    return 0


def _domain(parsed: Parsed) -> str:
    text = parsed.arguments[0] if parsed.arguments else DEFAULT_DOMAIN
    host = text.removeprefix("https://").removeprefix("http://").rstrip("/")
    host = host.removesuffix("/v1").removesuffix("/v2")
    if host in ("index.docker.io", "registry-1.docker.io"):
        return DEFAULT_DOMAIN
    if "/" in host:
        raise InvalidInput(f'"{text}" is not a registry', hint="give only the host: ghcr.io")
    # A host without a dot, as on a private network, needs a port to be parsed as a domain.
    parse_reference(f"{host if '.' in host or ':' in host else host + ':443'}/name")
    return host


def _identity(parsed: Parsed) -> tuple[str, str]:
    username, password = parsed.text("username"), parsed.text("password")
    if parsed.switch("password-stdin"):
        if password:
            raise InvalidInput("--password and --password-stdin cannot be combined")
        if not username:
            raise InvalidInput("--password-stdin needs --username")
        password = sys.stdin.read().rstrip("\r\n")
    elif not (username and password):
        if not os.isatty(0):
            raise InvalidInput(
                "user name and password are required",
                hint="give them: lamina login -u NAME --password-stdin",
            )
        from getpass import getpass

        username = username or input("Username: ")
        password = password or getpass("Password: ")
    if not username or not password:
        raise InvalidInput("user name and password must not be empty")
    return username, password
