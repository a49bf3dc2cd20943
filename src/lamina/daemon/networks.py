"""The network of a daemon's steps: the machine's, none, or a separate one by CNI."""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from lamina.base.booleans import parse_bool
from lamina.base.named_tuple import NamedTuple
from lamina.daemon.config import USER_MODES
from lamina.runtime.contract import Network

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.daemon.config import NetworkConfig
    from lamina.daemon.log import Log
    from lamina.runtime.contract import Networks

_CONFIG = "/etc/buildkit/cni.json"
_PROGRAMS = "/opt/cni/bin"
_DISTRIBUTIONS = ("/usr/lib/cni", "/usr/libexec/cni")  # Debian, Fedora
_BRIDGE = "buildkit0"
_SUBNET = "10.10.0.0/16"
_BRIDGE_AUTO = "BUILDKIT_NETWORK_BRIDGE_AUTO"


class StepNetwork(NamedTuple):
    """A configured network. `mode` is the worker's label: `cni`, `host`, `none`, or that of a
    network in user mode."""

    mode: str
    network: Network = Network.DEFAULT
    networks: Networks | None = None


@contextmanager
def step_network(config: NetworkConfig, folder: str, log: Log) -> Iterator[StepNetwork]:
    """Provide the configured network for the block.

    Args:
        folder: the directory for network namespaces, used by this daemon only.

    Raises InvalidInput, NotFound, Unavailable (also if a bridge's name is another device's).
    """
    mode = config.mode
    if mode == "auto":
        mode = _chosen(config)
    if mode in USER_MODES:
        from lamina.runtime.user_networks import Forwarder, UserNetworks

        os.makedirs(folder, mode=0o700, exist_ok=True)
        yield StepNetwork(mode, Network.DEFAULT, UserNetworks(Forwarder(mode), folder))
        return
    if mode not in ("cni", "bridge"):
        yield StepNetwork(mode, Network.NONE if mode == "none" else Network.DEFAULT)
        return
    from lamina.runtime.cni import CniPlugins, bridge_config, read_cni_config
    from lamina.runtime.networks import PluginNetworks

    bridge = config.bridge_name or _BRIDGE
    if mode == "cni":
        network = read_cni_config(config.cni_config or _CONFIG)
    else:
        network = bridge_config(bridge, config.bridge_subnet or _SUBNET)
    folders = (config.cni_binaries,) if config.cni_binaries else (_PROGRAMS, *_DISTRIBUTIONS)
    plugins = CniPlugins(network, folders)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    with _removed_afterwards(bridge, folder) if mode == "bridge" else nullcontext():
        networks = PluginNetworks(plugins, folder, config.cni_pool, log.warn)
        try:
            yield StepNetwork("cni", Network.DEFAULT, networks)
        finally:
            networks.close()


def _chosen(config: NetworkConfig) -> str:
    if parse_bool(os.environ.get(_BRIDGE_AUTO, "")):
        return "bridge"
    return "cni" if os.path.exists(config.cni_config or _CONFIG) else "host"


@contextmanager
def _removed_afterwards(bridge: str, folder: str) -> Iterator[None]:
    """Remove the bridge afterwards if it is new or belonged to a daemon that was killed."""
    from lamina.system.bridge import has_device, remove_bridge

    ours = os.path.join(folder, "bridge")
    if not has_device(bridge):
        with open(ours, "wb"):
            pass
    try:
        yield
    finally:
        if os.path.exists(ours):
            if has_device(bridge):
                remove_bridge(bridge)
            os.unlink(ours)
