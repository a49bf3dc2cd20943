"""The configuration of a daemon, as values: the file of `buildkitd.toml`, and flags on top of it.

Names and defaults are those of BuildKit's `docs/buildkitd.toml.md`. Durations are seconds,
sizes bytes. `[lamina]` is lamina's own table, which buildkitd does not look at.
"""

from __future__ import annotations

from lamina.base.named_tuple import NamedTuple
from lamina.records.retention import Retention
from lamina.registry.hosts import Hosts
from lamina.runtime.contract import STOP_TIMEOUT

DEFAULT_ADDRESS = "unix:///run/buildkit/buildkitd.sock"
ENTITLEMENTS = ("network.host", "security.insecure", "device")
LOG_FORMATS = ("text", "json")
LOG_LEVELS = ("trace", "debug", "info", "warn", "error", "fatal", "panic")
SNAPSHOTTERS = ("auto", "overlayfs", "native")
NETWORK_MODES = ("auto", "bridge", "cni", "host", "none")

Pairs = tuple[tuple[str, str], ...]


class LogConfig(NamedTuple):
    format: str = "text"
    level: str = "info"


class TlsFiles(NamedTuple):
    """PEM files, "" for none. With a `ca`, clients must show a certificate that it signed."""

    cert: str = ""
    key: str = ""
    ca: str = ""


class GrpcConfig(NamedTuple):
    """Where to listen. `uid` and `gid` own the Unix sockets; None is this process's own."""

    address: tuple[str, ...] = (DEFAULT_ADDRESS,)
    uid: int | None = None
    gid: int | None = None
    tls: TlsFiles = TlsFiles()
    debug_address: str = ""


class DiskSpace(NamedTuple):
    """An amount of disk: `size` bytes, or `percent` of the file system; neither is "not given"."""

    size: int = 0
    percent: int = 0

    def of(self, total: int) -> int:
        """In bytes, on a file system of `total` bytes.

        Percentages come out as whole gigabytes, as buildkitd's do, but what is less than one: a
        small disk would never be collected.
        """
        if self.size or not self.percent:
            return self.size
        share = total * self.percent // 100
        return share if share < 1 << 30 else (share // (1 << 30) + 1) * 1_000_000_000


class GcPolicy(NamedTuple):
    """One rule of garbage collection; `filters` are alternatives (`lamina.base.filters`)."""

    all: bool = False
    filters: tuple[str, ...] = ()
    keep_duration: float = 0.0
    reserved: DiskSpace = DiskSpace()
    max_used: DiskSpace = DiskSpace()
    min_free: DiskSpace = DiskSpace()


class GcConfig(NamedTuple):
    """Without `policies`, the default ones are made with the three limits."""

    enabled: bool = True
    reserved: DiskSpace = DiskSpace()
    max_used: DiskSpace = DiskSpace()
    min_free: DiskSpace = DiskSpace()
    policies: tuple[GcPolicy, ...] = ()


class NetworkConfig(NamedTuple):
    """What network steps get that do not ask for one; "" are the defaults of `daemon.networks`.

    `cni_pool` is how many to keep ready.
    """

    mode: str = "auto"
    cni_config: str = ""
    cni_binaries: str = ""
    cni_pool: int = 0
    bridge_name: str = ""
    bridge_subnet: str = ""


class WorkerConfig(NamedTuple):
    """`[worker.oci]`: how steps run, and what of their results is kept.

    `enabled` None is `auto`; `max_parallelism` 0 sets no limit; `platforms` empty are this
    machine's own.
    """

    enabled: bool | None = None
    labels: Pairs = ()
    platforms: tuple[str, ...] = ()
    snapshotter: str = "auto"
    rootless: bool = False
    no_process_sandbox: bool = False
    binary: str = ""
    cgroup_parent: str = ""
    apparmor_profile: str = ""
    selinux: bool = False
    max_parallelism: int = 0
    gc: GcConfig = GcConfig()
    network: NetworkConfig = NetworkConfig()


class DnsConfig(NamedTuple):
    nameservers: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    search_domains: tuple[str, ...] = ()


class CdiConfig(NamedTuple):
    disabled: bool = False
    spec_dirs: tuple[str, ...] = ("/etc/cdi", "/var/run/cdi", "/etc/buildkit/cdi")
    auto_allowed: tuple[str, ...] = ()


class FrontendConfig(NamedTuple):
    """`gateway_repositories` are the only images that may be frontends, if there are any."""

    dockerfile: bool = True
    gateway: bool = True
    gateway_repositories: tuple[str, ...] = ()


class SystemConfig(NamedTuple):
    """`registry_connections` 0 is the default number."""

    platforms_max_age: float = 0.0
    registry_connections: int = 0


class LifeConfig(NamedTuple):
    """`[lamina]`: how long (seconds) running builds may continue after the daemon is asked to end,
    and cancelled steps after SIGTERM."""

    drain: float = 30.0
    stop_timeout: float = STOP_TIMEOUT


class DaemonConfig(NamedTuple):
    """The whole configuration. `root` "" is the default store."""

    root: str = ""
    entitlements: tuple[str, ...] = ()
    proxy_network: bool = False
    provenance_env_dir: str = "/etc/buildkit/provenance.d"
    otel_socket: str = ""
    log: LogConfig = LogConfig()
    grpc: GrpcConfig = GrpcConfig()
    cdi: CdiConfig = CdiConfig()
    worker: WorkerConfig = WorkerConfig()
    hosts: Hosts = Hosts()
    dns: DnsConfig = DnsConfig()
    history: Retention = Retention()
    frontends: FrontendConfig = FrontendConfig()
    system: SystemConfig = SystemConfig()
    life: LifeConfig = LifeConfig()
