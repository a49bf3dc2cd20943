"""The devices of a build's steps: those that a step requests and the user allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, NotFound, PermissionDenied
from lamina.base.named_tuple import NamedTuple
from lamina.llb.op import CDIDevice

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lamina.runtime.cdi import Device, DeviceRegistry

_ENTITLEMENT = "device"


class DeviceGrant(NamedTuple):
    """The devices that a user allowed: all (`everything`), or some by name.

    `aliases` maps the names that steps use to the names of devices.
    """

    everything: bool = False
    names: frozenset[str] = frozenset()
    aliases: tuple[tuple[str, str], ...] = ()


def read_grant(entitlements: Iterable[str]) -> DeviceGrant:
    """The entitlements `device`, `device=NAME` and `device=NAME,alias=OTHER`.

    Raises InvalidInput.
    """
    grant = DeviceGrant()
    for entitlement in entitlements:
        key, _, text = entitlement.partition("=")
        if key != _ENTITLEMENT:
            continue
        if not text:
            grant = grant._replace(everything=True)
            continue
        name, *options = text.split(",")
        alias = ""
        for option in options:
            key, equals, value = option.partition("=")
            if key != "alias" or not equals:
                raise InvalidInput(
                    f'--allow {entitlement}: "{option}" is not alias=NAME',
                    hint="write device=vendor/class=name[,alias=NAME]",
                )
            alias = value
        if alias:
            grant = grant._replace(aliases=(*grant.aliases, (alias, name)))
        else:
            grant = grant._replace(names=grant.names | {name})
    return grant


def granted_devices(
    registry: DeviceRegistry, grant: DeviceGrant, wanted: Sequence[CDIDevice]
) -> list[Device]:
    """The devices for a step. An optional device may be missing.

    Raises NotFound, PermissionDenied.
    """
    aliases = dict(grant.aliases)
    granted = {device.name for name in grant.names for device in registry.find(name)}
    found: dict[str, Device] = {}
    forbidden: list[str] = []
    for one in wanted:
        name = aliases.get(one.name, one.name)
        devices = registry.find(name)
        if not devices and not one.optional:
            damage = registry.damage()
            raise NotFound(
                f'required device "{name}" is not registered',
                hint=damage[0] if damage else "is there a CDI file for it in /etc/cdi?",
            )
        free = grant.everything or one.name in aliases
        for device in devices:
            if free or device.name in granted or registry.allows_all(device):
                found[device.name] = device
            else:
                forbidden.append(device.name)
    if forbidden:
        several = len(forbidden) > 1
        raise PermissionDenied(
            f"device{'s' if several else ''} {', '.join(forbidden)}"
            f" {'are' if several else 'is'} requested by the build but not allowed",
            hint=f"allow it: --allow device={forbidden[0]}",
        )
    return list(found.values())


def named_devices(
    registry: DeviceRegistry, grant: DeviceGrant, wanted: Sequence[CDIDevice]
) -> list[CDIDevice]:
    """The requested devices by their CDI names, in the order of BuildKit's cache key.

    Those requested by an alias come first, and missing ones are left out. If all devices are
    allowed, names stay as they are. Raises as `granted_devices`.
    """
    if grant.everything:
        return list(wanted)
    aliases = dict(grant.aliases)
    by_alias = [one._replace(name=aliases[one.name]) for one in wanted if one.name in aliases]
    others = [one for one in wanted if one.name not in aliases]
    return by_alias + [
        CDIDevice(device.name) for device in granted_devices(registry, grant, others)
    ]
