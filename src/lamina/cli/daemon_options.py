"""Combines `lamina daemon`'s configuration file with its flags."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, NotFound
from lamina.base.units import seconds_of
from lamina.daemon import config
from lamina.daemon.config import DiskSpace
from lamina.daemon.config_file import LoadedConfig, load_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.cli.flags import Parsed
    from lamina.daemon.config import GcConfig, WorkerConfig

_FILES = ("lamina/lamina.toml", "buildkit/buildkitd.toml")
_STATES = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}
_MEGABYTE = 1_000_000


def read_config(parsed: Parsed) -> LoadedConfig:
    """Read the file in `--config` or `LAMINA_CONFIG`, or a default one, and apply the flags.

    Raises InvalidInput, NotFound.
    """
    loaded = LoadedConfig(config.DaemonConfig())
    if path := parsed.text("config") or default_file(os.environ):
        loaded = load_config(path)
    changed = loaded.config._replace(
        log=_log(parsed, loaded.config.log),
        grpc=_grpc(parsed, loaded.config.grpc),
        cdi=_cdi(parsed, loaded.config.cdi),
        worker=_worker(parsed, loaded.config.worker),
    )
    if parsed.given("root"):
        changed = changed._replace(root=parsed.text("root"))
    if parsed.given("allow-insecure-entitlement"):
        changed = changed._replace(entitlements=tuple(parsed.all("allow-insecure-entitlement")))
    if parsed.given("proxy-network"):
        changed = changed._replace(proxy_network=parsed.switch("proxy-network"))
    if parsed.given("otel-socket-path"):
        changed = changed._replace(otel_socket=parsed.text("otel-socket-path"))
    if parsed.given("drain-timeout"):
        life = changed.life._replace(drain=_duration(parsed, "drain-timeout"))
        changed = changed._replace(life=life)
    if parsed.given("stop-timeout"):
        life = changed.life._replace(stop_timeout=_duration(parsed, "stop-timeout"))
        changed = changed._replace(life=life)
    if _state(parsed, "containerd-worker"):
        raise InvalidInput(
            "--containerd-worker: lamina has no containerd worker",
            hint="remove the flag; --oci-worker needs no containerd",
        )
    if changed.worker.enabled is False:
        raise InvalidInput(
            "no worker is enabled: lamina has only the OCI worker",
            hint="remove --oci-worker=false",
        )
    return LoadedConfig(changed, loaded.warnings)


def _config_folder() -> str:
    """The directory of the configuration of root, or of another user (XDG)."""
    if os.geteuid() == 0:
        return "/etc"
    return os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")


def _default_address() -> str:
    """The address of buildkitd, rootful or rootless. Raises InvalidInput."""
    if os.geteuid() == 0:
        return config.DEFAULT_ADDRESS
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    if not os.path.isabs(folder):
        raise InvalidInput(
            "the daemon has no default address, because XDG_RUNTIME_DIR is not set",
            hint="set it to a directory of this user, or choose an address with --addr",
        )
    return f"unix://{folder}/buildkit/buildkitd.sock"


def default_file(environ: Mapping[str, str]) -> str:
    """The configuration file if none is named: `LAMINA_CONFIG`, else one that exists, else ""."""
    files = (os.path.join(_config_folder(), name) for name in _FILES)
    existing = next((path for path in files if os.path.exists(path)), "")
    return environ.get("LAMINA_CONFIG", "") or existing


def _log(parsed: Parsed, log: config.LogConfig) -> config.LogConfig:
    if parsed.switch("debug"):
        log = log._replace(level="debug")
    if parsed.switch("trace"):
        log = log._replace(level="trace")
    if parsed.given("log-level"):
        level = parsed.text("log-level")
        log = log._replace(level="warn" if level == "warning" else level)
    return log._replace(format=parsed.text("log-format", log.format))


def _grpc(parsed: Parsed, grpc: config.GrpcConfig) -> config.GrpcConfig:
    if parsed.given("addr"):
        grpc = grpc._replace(address=tuple(parsed.all("addr")))
    elif not grpc.address:
        grpc = grpc._replace(address=(_default_address(),))
    if parsed.text("group"):
        grpc = grpc._replace(gid=group_id(parsed.text("group")))
    tls = grpc.tls
    tls = config.TlsFiles(
        parsed.text("tlscert") or tls.cert,
        parsed.text("tlskey") or tls.key,
        parsed.text("tlscacert") or tls.ca,
    )
    if bool(tls.cert) != bool(tls.key):
        raise InvalidInput("--tlscert and --tlskey must be given together")
    if tls.ca and not tls.cert:
        raise InvalidInput("--tlscacert needs --tlscert and --tlskey")
    return grpc._replace(tls=tls, debug_address=parsed.text("debugaddr", grpc.debug_address))


def _cdi(parsed: Parsed, cdi: config.CdiConfig) -> config.CdiConfig:
    if parsed.given("cdi-disabled"):
        cdi = cdi._replace(disabled=parsed.switch("cdi-disabled"))
    if parsed.given("cdi-spec-dir"):
        cdi = cdi._replace(spec_dirs=tuple(parsed.all("cdi-spec-dir")))
    return cdi


def _worker(parsed: Parsed, worker: WorkerConfig) -> WorkerConfig:
    def switch(name: str, otherwise: bool) -> bool:
        return parsed.switch(name) if parsed.given(name) else otherwise

    def number(name: str, otherwise: int) -> int:
        text = parsed.text(name, str(otherwise))
        if not text.isdecimal():
            raise InvalidInput(f'invalid argument "{text}" for --{name}: not a whole number')
        return int(text)

    if parsed.text("oci-worker-proxy-snapshotter-path"):
        raise InvalidInput("--oci-worker-proxy-snapshotter-path is not supported")
    network = worker.network._replace(
        mode=_one_of(parsed, "oci-worker-net", config.NETWORK_MODES, worker.network.mode),
        cni_config=parsed.text("oci-cni-config-path", worker.network.cni_config),
        cni_binaries=parsed.text("oci-cni-binary-dir", worker.network.cni_binaries),
        cni_pool=number("oci-cni-pool-size", worker.network.cni_pool),
    )
    enabled = _state(parsed, "oci-worker") if parsed.given("oci-worker") else worker.enabled
    rootless = switch("rootless", worker.rootless)
    worker = worker._replace(
        enabled=enabled,
        labels=tuple({**dict(worker.labels), **_labels(parsed)}.items()),
        platforms=tuple(parsed.all("oci-worker-platform")) or worker.platforms,
        snapshotter=_one_of(
            parsed, "oci-worker-snapshotter", config.SNAPSHOTTERS, worker.snapshotter
        ),
        rootless=switch("oci-worker-rootless", rootless),
        no_process_sandbox=switch("oci-worker-no-process-sandbox", worker.no_process_sandbox),
        binary=parsed.text("oci-worker-binary", worker.binary),
        apparmor_profile=parsed.text("oci-worker-apparmor-profile", worker.apparmor_profile),
        selinux=switch("oci-worker-selinux", worker.selinux),
        max_parallelism=number("oci-max-parallelism", worker.max_parallelism),
        gc=_gc(parsed, worker.gc),
        network=network,
    )
    if worker.no_process_sandbox and not worker.rootless:
        raise InvalidInput("--oci-worker-no-process-sandbox needs --rootless")
    return worker


def _gc(parsed: Parsed, gc: GcConfig) -> GcConfig:
    if parsed.given("oci-worker-gc"):
        gc = gc._replace(enabled=parsed.switch("oci-worker-gc"))
    text = parsed.text("oci-worker-gc-keepstorage")
    if not text:
        return gc
    parts = text.split(",")
    if len(parts) > 3 or not all(part.isdecimal() for part in parts):
        raise InvalidInput(
            f'invalid argument "{text}" for --oci-worker-gc-keepstorage',
            hint="use megabytes: 10000 or 10000,20000,60000",
        )
    reserved, free, most = (*(int(part) * _MEGABYTE for part in parts), 0, 0)[:3]
    return gc._replace(
        reserved=DiskSpace(reserved), min_free=DiskSpace(free), max_used=DiskSpace(most)
    )


def _labels(parsed: Parsed) -> dict[str, str]:
    labels = {}
    for text in parsed.all("oci-worker-labels"):
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidInput(f'invalid argument "{text}" for --oci-worker-labels: no "="')
        labels[name] = value
    return labels


def _one_of(parsed: Parsed, name: str, choices: tuple[str, ...], otherwise: str) -> str:
    value = parsed.text(name) or otherwise
    if value not in choices:
        raise InvalidInput(
            f'invalid argument "{value}" for --{name}', hint=f"choose from {', '.join(choices)}"
        )
    return value


def _state(parsed: Parsed, name: str) -> bool | None:
    """Parse a flag that is true, false, or auto (None)."""
    text = parsed.text(name).lower()
    if text in ("", "auto"):
        return None
    if text not in _STATES:
        raise InvalidInput(f'invalid argument "{text}" for --{name}: not true, false or auto')
    return _STATES[text]


def _duration(parsed: Parsed, flag: str) -> float:
    text = parsed.text(flag)
    try:
        return float(text) if text.isdecimal() else seconds_of(text)
    except ValueError:
        raise InvalidInput(
            f'invalid argument "{text}" for --{flag}: not a duration',
            hint="use a duration like 30s or 5m",
        ) from None


def group_id(group: str) -> int:
    """The number of a group, given by name or number. Raises NotFound."""
    if group.isdecimal():
        return int(group)
    import grp

    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise NotFound(f"no such group: {group}") from None
