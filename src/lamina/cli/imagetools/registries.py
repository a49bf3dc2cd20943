"""The client of the commands for images in registries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.registry.client import RegistryClient
from lamina.registry.hosts import configured_hosts

if TYPE_CHECKING:
    from lamina.base.reference import Reference
    from lamina.cli.flags import Parsed


def registry_client(parsed: Parsed, *references: Reference) -> RegistryClient:
    """A client, which trusts the registries of `references` with `--insecure`."""
    hosts = configured_hosts()
    if parsed.switch("insecure"):
        for reference in references:
            hosts = hosts.trusting(reference.domain)
    return RegistryClient(hosts)
