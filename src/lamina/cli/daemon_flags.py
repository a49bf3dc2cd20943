"""The flags of `lamina daemon`: buildkitd's."""

from __future__ import annotations

from lamina.cli.flags import Flag

_IGNORED = "Accepted and ignored: there is no containerd worker"


def _ignored(name: str, value: str = "VALUE", repeat: bool = False) -> Flag:
    return Flag(name, _IGNORED, value=value, repeat=repeat)


DAEMON_FLAGS = (
    Flag(
        "addr",
        "Where to listen: unix://PATH, tcp://HOST:PORT, fd://",
        value="ADDRESS",
        repeat=True,
        default="unix:///run/buildkit/buildkitd.sock",
    ),
    Flag(
        "allow-insecure-entitlement",
        "Let builds ask for an entitlement",
        value="ENTITLEMENT",
        repeat=True,
        choices=("network.host", "security.insecure", "device"),
    ),
    Flag("cdi-disabled", "Offer no CDI devices"),
    Flag("cdi-spec-dir", "Where CDI specs are", value="DIR", repeat=True, complete="directory"),
    Flag(
        "config",
        "The configuration file, in the form of buildkitd.toml",
        value="FILE",
        complete="file",
    ),
    Flag("debugaddr", "Accepted; there are no Go profiles to serve", value="ADDRESS"),
    Flag(
        "drain-timeout",
        "How long running builds may go on after the first signal (default: 30s)",
        value="DURATION",
    ),
    Flag("group", "The group (name or id) of the Unix sockets", value="GROUP"),
    Flag("log-format", "How to log", value="FORMAT", choices=("text", "json"), default="text"),
    Flag(
        "log-level",
        "What to log",
        value="LEVEL",
        choices=("trace", "debug", "info", "warn", "warning", "error", "fatal", "panic"),
        default="info",
    ),
    Flag("oci-cni-binary-dir", "Where CNI's programs are", value="DIR", complete="directory"),
    Flag("oci-cni-config-path", "CNI's configuration", value="FILE", complete="file"),
    Flag("oci-cni-pool-size", "How many CNI networks to keep ready", value="NUMBER"),
    Flag("oci-max-parallelism", "How many steps may run at the same time", value="NUMBER"),
    Flag("oci-worker", "Whether to run steps: true, false or auto", value="STATE", default="auto"),
    Flag("oci-worker-apparmor-profile", "The AppArmor profile of steps", value="NAME"),
    Flag("oci-worker-binary", "The OCI runtime", value="NAME", complete="file"),
    Flag("oci-worker-gc", "Collect garbage by itself (default: true)"),
    Flag(
        "oci-worker-gc-keepstorage",
        "Megabytes to keep reserved, to keep free, and to use at most",
        value="RESERVED[,FREE[,MAXIMUM]]",
    ),
    Flag("oci-worker-labels", "Labels of the worker", value="NAME=VALUE", repeat=True),
    Flag("oci-worker-net", "The network of steps", value="MODE", default="auto"),
    Flag("oci-worker-no-process-sandbox", "Let steps see the host's processes"),
    Flag("oci-worker-platform", "What to say can be built for", value="PLATFORM", repeat=True),
    Flag("oci-worker-proxy-snapshotter-path", "Not supported", value="PATH"),
    Flag("oci-worker-rootless", "Run without root's rights"),
    Flag("oci-worker-selinux", "Label files for SELinux"),
    Flag(
        "oci-worker-snapshotter",
        "How file systems are kept: auto, overlayfs or native",
        value="NAME",
        default="auto",
    ),
    Flag("otel-socket-path", "Accepted; traces are not collected", value="PATH"),
    Flag("proxy-network", "Enforce a proxy for all builds"),
    Flag("rootless", "Run without root's rights"),
    Flag("save-cache-debug", "Accepted; lamina keeps no such record"),
    Flag(
        "stop-timeout",
        "How long a cancelled step may go on after SIGTERM (default: 10s)",
        value="DURATION",
    ),
    Flag("tlscacert", "Who signs clients' certificates", value="FILE", complete="file"),
    Flag("tlscert", "The certificate to show", value="FILE", complete="file"),
    Flag("tlskey", "Its key", value="FILE", complete="file"),
    Flag("trace", "Log everything"),
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
