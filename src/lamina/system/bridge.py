"""Network bridges (`linux/sockios.h`, `linux/if.h`)."""

from __future__ import annotations

import fcntl
import socket
import struct

_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_SIOCBRDELBR = 0x89A1
_IFF_UP = 1
_REQUEST = struct.Struct("16sH14x")  # ifreq: a name, flags


def has_device(name: str) -> bool:
    """Whether this network namespace has a device with that name. (`/sys` may show another's.)"""
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


def remove_bridge(name: str) -> None:
    """Remove a bridge. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        request = _REQUEST.pack(name.encode(), 0)
        _, flags = _REQUEST.unpack(fcntl.ioctl(control, _SIOCGIFFLAGS, request))
        down = _REQUEST.pack(name.encode(), flags & ~_IFF_UP)
        fcntl.ioctl(control, _SIOCSIFFLAGS, down)
        fcntl.ioctl(control, _SIOCBRDELBR, name.encode().ljust(16, b"\0"))
