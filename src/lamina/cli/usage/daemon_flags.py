"""The flags of `lamina daemon`, which are those of buildkitd."""

from __future__ import annotations

from lamina.cli.flags import Flag


def _ignored(name: str, value: str = "VALUE", repeat: bool = False) -> Flag:
    """A flag of buildkitd's containerd worker, which lamina does not have."""
    return Flag(name, "No effect: no containerd worker", value=value, repeat=repeat, hidden=True)


DAEMON_FLAGS = (
    Flag(
        "addr",
        "Address to listen on: unix://PATH, tcp://HOST:PORT, fd://",
        value="ADDRESS",
        repeat=True,
        default="unix:///run/buildkit/buildkitd.sock",
    ),
    Flag(
        "allow-insecure-entitlement",
        "Allow builds to request an entitlement",
        value="ENTITLEMENT",
        repeat=True,
        choices=("network.host", "security.insecure", "device"),
    ),
    Flag("cdi-disabled", "Disable CDI devices"),
    Flag(
        "cdi-spec-dir", "Directory with CDI specs", value="DIR", repeat=True, complete="directory"
    ),
    Flag(
        "config",
        "Configuration file (format of buildkitd.toml)",
        value="FILE",
        complete="file",
    ),
    Flag("debugaddr", "No effect: there are no Go profiles", value="ADDRESS", hidden=True),
    Flag(
        "drain-timeout",
        "Time for running builds to finish after the first signal (default: 30s)",
        value="DURATION",
    ),
    Flag("group", "Group (name or ID) that owns the Unix sockets", value="GROUP"),
    Flag("log-format", "Log format", value="FORMAT", choices=("text", "json"), default="text"),
    Flag(
        "log-level",
        "Log level",
        value="LEVEL",
        choices=("trace", "debug", "info", "warn", "warning", "error", "fatal", "panic"),
        default="info",
    ),
    Flag("oci-cni-binary-dir", "Directory with CNI plugins", value="DIR", complete="directory"),
    Flag("oci-cni-config-path", "CNI configuration file", value="FILE", complete="file"),
    Flag("oci-cni-pool-size", "Number of CNI networks to prepare in advance", value="NUMBER"),
    Flag("oci-max-parallelism", "Maximum number of steps that run in parallel", value="NUMBER"),
    Flag("oci-worker", "Enable the OCI worker: true, false or auto", value="STATE", default="auto"),
    Flag("oci-worker-apparmor-profile", "AppArmor profile of steps", value="NAME"),
    Flag("oci-worker-binary", "OCI runtime binary", value="NAME", complete="file"),
    Flag("oci-worker-gc", "Enable automatic garbage collection (default: true)"),
    Flag(
        "oci-worker-gc-keepstorage",
        "Cache limits in MB: reserved, free disk space, maximum",
        value="RESERVED[,FREE[,MAXIMUM]]",
    ),
    Flag("oci-worker-labels", "Labels of the worker", value="NAME=VALUE", repeat=True),
    Flag("oci-worker-net", "Network of steps", value="MODE", default="auto"),
    Flag("oci-worker-no-process-sandbox", "Run steps in the PID namespace of the host"),
    Flag("oci-worker-platform", "Platform that the worker reports", value="PLATFORM", repeat=True),
    Flag("oci-worker-proxy-snapshotter-path", "Not supported", value="PATH"),
    Flag("oci-worker-rootless", "Fail unless the daemon runs in a user namespace"),
    Flag("oci-worker-selinux", "Not supported: SELinux labels"),
    Flag(
        "oci-worker-snapshotter",
        "Snapshotter: auto, overlayfs or native",
        value="NAME",
        default="auto",
    ),
    Flag("otel-socket-path", "No effect: no traces are collected", value="PATH", hidden=True),
    Flag("proxy-network", "Not supported: enforce a proxy for all builds"),
    Flag("rootless", "Fail unless the daemon runs in a user namespace"),
    Flag("save-cache-debug", "No effect", hidden=True),
    Flag(
        "stop-timeout",
        "Time for a cancelled step to end after SIGTERM (default: 10s)",
        value="DURATION",
    ),
    Flag(
        "tlscacert", "CA certificate that signs client certificates", value="FILE", complete="file"
    ),
    Flag("tlscert", "Server certificate", value="FILE", complete="file"),
    Flag("tlskey", "Private key of the server certificate", value="FILE", complete="file"),
    Flag("trace", "Set the log level to trace"),
    Flag("ui-addr", "Also serve the web UI, on HOST:PORT", value="ADDRESS"),
    Flag("ui-allow-changes", "Allow the web UI to remove records of the cache"),
    Flag("version", "Show the version", short="v"),
    Flag("containerd-worker", "Only false or auto", value="STATE", default="auto"),
    _ignored("containerd-cni-binary-dir"),
    _ignored("containerd-cni-config-path"),
    _ignored("containerd-cni-pool-size"),
    _ignored("containerd-max-parallelism"),
    _ignored("containerd-worker-addr"),
    _ignored("containerd-worker-apparmor-profile"),
    _ignored("containerd-worker-gc", value=""),
    _ignored("containerd-worker-gc-keepstorage"),
    _ignored("containerd-worker-labels", repeat=True),
    _ignored("containerd-worker-namespace"),
    _ignored("containerd-worker-net"),
    _ignored("containerd-worker-platform", repeat=True),
    _ignored("containerd-worker-rootless", value=""),
    _ignored("containerd-worker-runtime"),
    _ignored("containerd-worker-selinux", value=""),
    _ignored("containerd-worker-snapshotter"),
)
