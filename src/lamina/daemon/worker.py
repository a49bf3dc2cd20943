"""The worker record in the responses of `Info` and `ListWorkers`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina import __version__
from lamina.api.worker import BuildkitVersion, CDIDevice, GCPolicy, WorkerRecord
from lamina.base.buildkit_version import BUILDKIT_VERSION
from lamina.base.named_tuple import NamedTuple
from lamina.base.platform import parse_platform
from lamina.dockerfile.syntax import LANGUAGE_VERSION
from lamina.llb.op import LLBPlatform
from lamina.runtime.cdi import DeviceRegistry
from lamina.runtime.emulation import platforms_here

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.base.platform import Platform
    from lamina.daemon.config import WorkerConfig
    from lamina.daemon.gc import SizedPolicy

# Clients enable features by BuildKit's version, so this is the version of the implemented API.
VERSION = BuildkitVersion(
    package="github.com/moby/buildkit",
    version=f"{BUILDKIT_VERSION}+lamina.{__version__}",
    dockerfile_version=LANGUAGE_VERSION,
)
_LABELS = "org.mobyproject.buildkit.worker."


class Worker(NamedTuple):
    """The daemon's only worker. Its `id` is stored in the store and does not change."""

    id: str
    labels: tuple[tuple[str, str], ...]
    platforms: tuple[Platform, ...]
    policies: tuple[SizedPolicy, ...]
    devices: DeviceRegistry = DeviceRegistry(())

    def record(self) -> WorkerRecord:
        return WorkerRecord(
            self.id,
            self.labels,
            tuple(
                LLBPlatform(p.architecture, p.os, p.variant, p.os_version, p.os_features)
                for p in self.platforms
            ),
            tuple(
                GCPolicy(
                    policy.all,
                    round(policy.keep_duration * 1_000_000_000),
                    policy.reserved,
                    policy.filters,
                    policy.max_used,
                    policy.min_free,
                )
                for policy in self.policies
            ),
            VERSION,
            tuple(
                CDIDevice(
                    device.name,
                    self.devices.allows_all(device),
                    tuple(sorted(device.annotations.items())),
                )
                for device in self.devices.devices().values()
            ),
        )


def describe_worker(
    root: str,
    config: WorkerConfig,
    policies: Sequence[SizedPolicy],
    *,
    network: str,
    overlay: bool,
    devices: DeviceRegistry,
) -> Worker:
    """The worker of the store at `root`. Raises InvalidInput (platforms)."""
    labels = {
        f"{_LABELS}executor": "oci",
        f"{_LABELS}hostname": os.uname().nodename,
        f"{_LABELS}network": network,
        f"{_LABELS}oci.process-mode": "no-sandbox" if config.no_process_sandbox else "sandbox",
        f"{_LABELS}selinux.enabled": str(config.selinux).lower(),
        f"{_LABELS}snapshotter": "overlayfs" if overlay else "native",
    }
    if config.apparmor_profile:
        labels[f"{_LABELS}apparmor.profile"] = config.apparmor_profile
    labels.update(config.labels)
    platforms = _platforms(config.platforms)
    return Worker(worker_id(root), tuple(labels.items()), platforms, tuple(policies), devices)


def _platforms(configured: Sequence[str]) -> tuple[Platform, ...]:
    """The configured platforms and those that they imply; all that run here if none are
    configured."""
    here = platforms_here()
    given = tuple(dict.fromkeys(map(parse_platform, configured)))
    if here[0] not in given:
        return given or here
    levels = (p for p in here if p.architecture == here[0].architecture and p not in given)
    return (*given, *levels)


def worker_id(root: str) -> str:
    """The ID in the file `workerid`, which is created if it is missing."""
    path = os.path.join(root, "workerid")
    try:
        with open(path, encoding="ascii") as file:
            if known := file.read().strip():
                return known
    except (FileNotFoundError, UnicodeDecodeError):
        pass
    made = os.urandom(16).hex()
    with open(f"{path}.new", "w", encoding="ascii") as file:
        file.write(made)
    os.rename(f"{path}.new", path)
    return made
