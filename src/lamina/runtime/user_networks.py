"""Networks in user mode: pasta (passt) or slirp4netns forwards connections as an ordinary process.

Steps reach other machines, but neither the loopback device nor abstract sockets of this one. Every
step has a network of its own. The forwarder is in a pid namespace whose first process reads from a
pipe of lamina, so it ends with lamina, however that ends.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING

from lamina.base.errors import NotFound, Unavailable
from lamina.runtime.network_namespace import make_namespace, remove_namespace
from lamina.system.process import spawn, which

if TYPE_CHECKING:
    from collections.abc import Iterator

_READY = b"1"
_LIMIT = 1 << 14
# Without another `exec`, the shell is the first process of the pid namespace.
_PASTA = (
    "pasta --config-net --no-map-gw --tcp-ports none --udp-ports none --tcp-ns none --udp-ns none"
    ' --quiet --netns-only --netns "$0" >&2 && printf 1 && exec >&- && read -r _'
)
_SLIRP = (
    "slirp4netns --configure --mtu=65520 --disable-host-loopback --netns-type=path --ready-fd=3"
    ' "$0" tap0 3>&1 >&2 & exec >&- && read -r _'
)


class Forwarder(Enum):
    """The program that forwards connections. The value is its name."""

    PASTA = "pasta"
    SLIRP4NETNS = "slirp4netns"


class UserNetworks:
    """Implements `contract.Networks`.

    Args:
        folder: an existing directory, used only by this process.

    Raises NotFound if the program is not installed.
    """

    def __init__(self, forwarder: Forwarder, folder: str) -> None:
        if not which(forwarder.value):
            package = "passt" if forwarder is Forwarder.PASTA else forwarder.value
            raise NotFound(
                f"{forwarder.value} is not on PATH", hint=f"install it: apt-get install {package}"
            )
        self._forwarder = forwarder
        self._folder = folder

    @contextmanager
    def attached(self, hostname: str, *, insecure: bool) -> Iterator[str]:
        path = os.path.join(self._folder, f"net-{os.urandom(8).hex()}")
        try:
            make_namespace(path)
            with self._forwarding(path):
                yield path
        finally:
            remove_namespace(path)

    @contextmanager
    def _forwarding(self, path: str) -> Iterator[None]:
        script = _PASTA if self._forwarder is Forwarder.PASTA else _SLIRP
        command = [
            *("setpriv", "--pdeathsig", "KILL", "--"),
            *("unshare", "--pid", "--fork", "--kill-child=KILL", "--"),
            *("sh", "-c", script, path),
        ]
        in_read, in_write = os.pipe2(os.O_CLOEXEC)
        out_read, out_write = os.pipe2(os.O_CLOEXEC)
        err_read, err_write = os.pipe2(os.O_CLOEXEC)
        own = [in_read, out_write, err_write]
        try:
            with spawn(command, stdin=in_read, stdout=out_write, stderr=err_write, own_group=True):
                while own:
                    os.close(own.pop())
                if os.read(out_read, 1) != _READY:
                    reason = os.read(err_read, _LIMIT).decode(errors="replace").strip()
                    raise Unavailable(
                        f"{self._forwarder.value} cannot connect a network: {reason}",
                        hint="does this user have access to /dev/net/tun?",
                    )
                yield
        finally:
            for fd in (*own, in_write, out_read, err_read):
                os.close(fd)
