"""Functions on IP networks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lamina.bake.functions.define import fixed, number, open_ended, text, whole_argument
from lamina.bake.values.value import STRING, Value, list_value, string

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Network, IPv6Network

    Network = IPv4Network | IPv6Network

_MOST_BITS = 32
"""By which a prefix can be extended."""


def _network(given: Value) -> Network:
    import ipaddress

    if re.fullmatch(r"[^/]+/[0-9]+", given.text):
        try:
            return ipaddress.ip_network(given.text, strict=False)
        except ValueError:
            pass
    raise ValueError(f'"{given.text}" is no network in CIDR notation')


def _host(prefix: Value, index: Value) -> Value:
    network = _network(prefix)
    wanted = whole_argument(index, "hostnum")
    last = network.num_addresses - 1
    offset = wanted if wanted >= 0 else last + wanted + 1
    if not 0 <= offset <= last:
        raise ValueError(f"a prefix of {network.prefixlen} bits has no host number {wanted}")
    return string(str(network.network_address + offset))


def _netmask(prefix: Value) -> Value:
    return string(str(_network(prefix).netmask))


def _subnet(prefix: Value, bits: Value, index: Value) -> Value:
    network = _network(prefix)
    length = _length(network, whole_argument(bits, "newbits"), 0)
    wanted = whole_argument(index, "netnum")
    if not 0 <= wanted < 1 << (length - network.prefixlen):
        raise ValueError(f"the prefix has no subnet number {wanted}")
    return string(str(_at(network, wanted << (network.max_prefixlen - length), length)))


def _subnets(values: Sequence[Value]) -> Value:
    network = _network(values[0])
    found = []
    offset = 0
    for bits in values[1:]:
        length = _length(network, whole_argument(bits, "newbits"), 1)
        size = 1 << (network.max_prefixlen - length)
        offset = -(-offset // size) * size
        if offset + size > network.num_addresses:
            raise ValueError(f"there is no space left for a prefix of {length} bits")
        found.append(string(str(_at(network, offset, length))))
        offset += size
    return list_value(STRING, found)


def _length(network: Network, bits: int, least: int) -> int:
    """The bits of an extended prefix. Raises ValueError."""
    if not least <= bits <= _MOST_BITS:
        raise ValueError(f"a prefix is extended by {least} to {_MOST_BITS} bits")
    length = network.prefixlen + bits
    if length > network.max_prefixlen:
        raise ValueError(f"a prefix of {length} bits is too long for IPv{network.version}")
    return length


def _at(network: Network, offset: int, length: int) -> Network:
    import ipaddress

    return ipaddress.ip_network((network.network_address + offset, length))


FUNCTIONS = {
    "cidrhost": fixed(_host, text("prefix"), number("hostnum")),
    "cidrnetmask": fixed(_netmask, text("prefix")),
    "cidrsubnet": fixed(_subnet, text("prefix"), number("newbits"), number("netnum")),
    "cidrsubnets": open_ended(_subnets, text("prefix"), rest=number("newbits")),
}
