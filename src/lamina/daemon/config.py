"""The configuration of a daemon: `buildkitd.toml`, overridden by flags.

Names and defaults are those of BuildKit's `docs/buildkitd.toml.md`. Durations are in seconds, sizes
in bytes. `[lamina]` is an additional table, which buildkitd ignores.
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
USER_MODES = ("pasta", "slirp4netns")
NETWORK_MODES = ("auto", "bridge", "cni", "host", "none", *USER_MODES)

Pairs = tuple[tuple[str, str], ...]


class LogConfig(NamedTuple):
    format: str = "text"
    level: str = "info"


class TlsFiles(NamedTuple):
    """PEM files, "" for none. With a `ca`, clients need a certificate signed by it."""

    cert: str = ""
    key: str = ""
    ca: str = ""


class GrpcConfig(NamedTuple):
    """The addresses of the API, empty for the default one. `uid` and `gid` own the Unix sockets;
    None: those of this process."""

    address: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None
    tls: TlsFiles = TlsFiles()
    debug_address: str = ""


class DiskSpace(NamedTuple):
    """An amount of disk space: `size` bytes, or `percent` of the file system; both 0: not given."""

    size: int = 0
    percent: int = 0

    def of(self, total: int) -> int:
        """The amount in bytes, on a file system of `total` bytes.

        Percentages are rounded up to whole gigabytes (buildkitd), except amounts below 1 GiB: with
        a limit of 0, the cache of a small disk would never be collected.
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
    """Garbage collection. Without `policies`, the default ones are made with the three limits."""

    enabled: bool = True
    reserved: DiskSpace = DiskSpace()
    max_used: DiskSpace = DiskSpace()
    min_free: DiskSpace = DiskSpace()
    policies: tuple[GcPolicy, ...] = ()


class NetworkConfig(NamedTuple):
    """The network of steps that request none. "" selects a default of `daemon.networks`.

    `cni_pool` is the number of network namespaces to keep ready.
    """

    mode: str = "auto"
    cni_config: str = ""
    cni_binaries: str = ""
    cni_pool: int = 0
    bridge_name: str = ""
    bridge_subnet: str = ""


class WorkerConfig(NamedTuple):
    """`[worker.oci]`: how steps run, and which results are kept.

    `enabled` None is `auto`. `max_parallelism` 0 sets no limit. With empty `platforms` they are
    those of this machine.
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
    """`gateway_repositories` are the only images that may be frontends; empty: all may."""

    dockerfile: bool = True
    gateway: bool = True
    gateway_repositories: tuple[str, ...] = ()


class SystemConfig(NamedTuple):
    """`registry_connections` 0 is the default number."""

    platforms_max_age: float = 0.0
    registry_connections: int = 0


class LifeConfig(NamedTuple):
    """`[lamina]`: how long (seconds) running builds may continue when the daemon shuts down, and
    cancelled steps after SIGTERM."""

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
