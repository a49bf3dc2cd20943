"""The sandbox in which the command of an exec op runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.llb.op import ExecMeta, NetMode, SecurityMode
from lamina.runtime.contract import Network, Resources, Rlimit, Sandbox

if TYPE_CHECKING:
    from lamina.llb.op import ExecOp, LinuxResources
    from lamina.ops.contract import DeviceProvider
    from lamina.ops.mounts import Prepared

NETWORKS = {
    NetMode.UNSET: Network.DEFAULT,
    NetMode.HOST: Network.HOST,
    NetMode.NONE: Network.NONE,
}


def exec_sandbox(
    op: ExecOp, prepared: Prepared, resources: LinuxResources | None, devices: DeviceProvider
) -> Sandbox:
    """The sandbox of an op whose mounts are prepared.

    Raises PermissionDenied and NotFound for devices.
    """
    meta = op.meta or ExecMeta()
    return Sandbox(
        rootfs=prepared.rootfs,
        mounts=prepared.mounts,
        readonly=prepared.readonly,
        hostname=meta.hostname,
        extra_hosts=tuple((host.host, host.ip) for host in meta.extra_hosts),
        network=NETWORKS[op.network],
        insecure=op.security is SecurityMode.INSECURE,
        rlimits=tuple(Rlimit(u.name, u.soft, u.hard) for u in meta.ulimit),
        cgroup_parent=meta.cgroup_parent,
        resources=Resources(*resources) if resources else Resources(),
        devices=tuple(devices.devices(op.cdi_devices)) if op.cdi_devices else (),
    )
