"""Reads `buildkitd.toml`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple
from lamina.base.toml_table import TomlTable, read_toml
from lamina.base.units import size_of
from lamina.daemon import config
from lamina.daemon.config import DaemonConfig, DiskSpace
from lamina.records.retention import parse_retention
from lamina.registry.hosts import parse_hosts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.registry.hosts import Hosts

_REGISTRY_KEYS = frozenset(("mirrors", "http", "insecure", "ca", "keypair", "tlsconfigdir"))
_CONTAINERD = "lamina has no containerd worker"


class LoadedConfig(NamedTuple):
    """A configuration, and warnings about its file."""

    config: DaemonConfig
    warnings: tuple[str, ...] = ()


def load_config(path: str) -> LoadedConfig:
    """Read a file. Raises NotFound, InvalidInput (with file, key and expected value)."""
    return parse_config(read_toml(path, "configuration file"), path)


def parse_config(document: Mapping[str, Any], file: str) -> LoadedConfig:
    """Read a parsed TOML document. `file` is its name in messages. Raises InvalidInput."""
    whole = TomlTable(document, file)
    warnings: list[str] = []
    log = _log(whole, warnings)
    workers = whole.table("worker")
    containerd = workers.table("containerd")
    if containerd.switch("enabled"):
        raise InvalidInput(
            f"{file}: worker.containerd.enabled is true: {_CONTAINERD}",
            hint="set it to false; [worker.oci] needs no containerd",
        )
    containerd.skip_rest()
    cdi = whole.table("cdi")
    default = DaemonConfig()
    found = DaemonConfig(
        root=whole.text("root"),
        entitlements=_entitlements(whole, file),
        proxy_network=bool(whole.switch("proxyNetwork")),
        provenance_env_dir=whole.text("provenanceEnvDir", default.provenance_env_dir),
        otel_socket=whole.table("otel").text("socketPath"),
        log=log,
        grpc=_grpc(whole.table("grpc")),
        cdi=config.CdiConfig(
            bool(cdi.switch("disabled")),
            cdi.texts("specDirs") or default.cdi.spec_dirs,
            cdi.texts("autoAllowed"),
        ),
        worker=_worker(workers.table("oci"), file),
        hosts=_hosts(whole.document("registry"), file, warnings),
        dns=_dns(whole.table("dns")),
        history=parse_retention(whole.table("history")),
        frontends=_frontends(whole.table("frontend")),
        system=_system(whole.table("system"), file),
        life=_life(whole.table("lamina")),
    )
    # The verification of caches in GitHub Actions: lamina has no such cache backend.
    whole.skip("cache", "ghacache")
    warnings += [f"{file}: unknown key {name} is ignored" for name in whole.unknown()]
    return LoadedConfig(found, tuple(warnings))


def _log(whole: TomlTable, warnings: list[str]) -> config.LogConfig:
    table = whole.table("log")
    level = ""
    for old in ("debug", "trace"):
        if whole.switch(old):
            warnings.append(f"'{old}' is deprecated, use 'log.level = \"{old}\"'")
            level = old
    named = table.choice("level", ("", "warning", *config.LOG_LEVELS), "")
    named = "warn" if named == "warning" else named
    form = table.choice("format", ("", *config.LOG_FORMATS), "")
    return config.LogConfig(form or "text", named or level or "info")


def _entitlements(whole: TomlTable, file: str) -> tuple[str, ...]:
    found = whole.texts("insecure-entitlements")
    for name in found:
        if name not in config.ENTITLEMENTS:
            raise InvalidInput(
                f'{file}: insecure-entitlements: invalid entitlement "{name}"',
                hint=f"valid entitlements are {', '.join(config.ENTITLEMENTS)}",
            )
    return found


def _grpc(table: TomlTable) -> config.GrpcConfig:
    tls = table.table("tls")
    table.skip("securityDescriptor")  # Windows only
    return config.GrpcConfig(
        table.texts("address"),
        table.number("uid"),
        table.number("gid"),
        config.TlsFiles(tls.text("cert"), tls.text("key"), tls.text("ca")),
        table.text("debugAddress"),
    )


def _worker(table: TomlTable, file: str) -> config.WorkerConfig:
    for key in ("userRemapUnsupported", "proxySnapshotterPath"):
        if table.text(key):
            raise InvalidInput(
                f"{file}: worker.oci.{key} is not supported",
                hint="lamina has its own snapshotters: overlayfs and native",
            )
    table.skip("stargzSnapshotter")
    return config.WorkerConfig(
        enabled=table.switch("enabled"),
        labels=table.pairs("labels"),
        platforms=table.texts("platforms"),
        snapshotter=table.choice("snapshotter", ("", *config.SNAPSHOTTERS), "") or "auto",
        rootless=bool(table.switch("rootless")),
        no_process_sandbox=bool(table.switch("noProcessSandbox")),
        binary=table.text("binary"),
        cgroup_parent=table.text("defaultCgroupParent"),
        apparmor_profile=table.text("apparmor-profile"),
        selinux=bool(table.switch("selinux")),
        max_parallelism=table.number("max-parallelism") or 0,
        gc=_gc(table),
        network=config.NetworkConfig(
            table.choice("networkMode", ("", *config.NETWORK_MODES), "") or "auto",
            table.text("cniConfigPath"),
            table.text("cniBinaryPath"),
            table.number("cniPoolSize") or 0,
            table.text("bridgeName"),
            table.text("bridgeSubnet"),
        ),
    )


def _gc(table: TomlTable) -> config.GcConfig:
    enabled = table.switch("gc")
    old = _disk_space(table, "gckeepstorage")
    reserved = _disk_space(table, "reservedSpace")
    max_used = _disk_space(table, "maxUsedSpace")
    min_free = _disk_space(table, "minFreeSpace")
    if DiskSpace() == reserved == max_used == min_free:
        reserved = old
    policies = tuple(_policy(rule) for rule in table.tables("gcpolicy"))
    return config.GcConfig(enabled is not False, reserved, max_used, min_free, policies)


def _disk_space(table: TomlTable, key: str) -> config.DiskSpace:
    """A number of bytes, a size like `10GB`, or a percentage like `10%`."""
    value = table.take(key)
    try:
        match value:
            case None | "":
                return config.DiskSpace()
            case bool():
                raise ValueError
            case int() if 0 <= value < 1 << 62:
                return config.DiskSpace(value)
            case str() if value.endswith("%"):
                percent = int(value[:-1])
                if not 0 <= percent <= 100:
                    raise ValueError
                return config.DiskSpace(percent=percent)
            case str():
                return config.DiskSpace(size_of(value))
            case _:
                raise ValueError
    except (ValueError, OverflowError):
        expected = 'a number of bytes, a size like "10GB" or a percentage like "10%"'
        raise table.wrong(key, expected, value) from None


def _policy(rule: TomlTable) -> config.GcPolicy:
    old = _disk_space(rule, "keepBytes")
    reserved = _disk_space(rule, "reservedSpace")
    return config.GcPolicy(
        bool(rule.switch("all")),
        rule.texts("filters"),
        rule.seconds("keepDuration"),
        old if reserved == DiskSpace() else reserved,
        _disk_space(rule, "maxUsedSpace"),
        _disk_space(rule, "minFreeSpace"),
    )


def _hosts(section: dict[str, Any], file: str, warnings: list[str]) -> Hosts:
    known: dict[str, Any] = {}
    for name, table in section.items():
        if isinstance(table, dict):
            for key in table.keys() - _REGISTRY_KEYS:
                warnings.append(f'{file}: unknown key registry."{name}".{key} is ignored')
            table = {key: value for key, value in table.items() if key in _REGISTRY_KEYS}
        known[name] = table
    return parse_hosts({"registry": known}, file)


def _dns(table: TomlTable) -> config.DnsConfig:
    return config.DnsConfig(
        table.texts("nameservers"), table.texts("options"), table.texts("searchDomains")
    )


def _frontends(table: TomlTable) -> config.FrontendConfig:
    dockerfile = table.table("dockerfile.v0")
    gateway = table.table("gateway.v0")
    return config.FrontendConfig(
        dockerfile.switch("enabled") is not False,
        gateway.switch("enabled") is not False,
        gateway.texts("allowedRepositories"),
    )


def _system(table: TomlTable, file: str) -> config.SystemConfig:
    connections = table.number("maxRegistryConcurrency")
    if connections == 0:
        raise InvalidInput(f"{file}: system.maxRegistryConcurrency must be more than 0")
    return config.SystemConfig(table.seconds("platformsCacheMaxAge"), connections or 0)


def _life(table: TomlTable) -> config.LifeConfig:
    usual = config.LifeConfig()
    return config.LifeConfig(
        table.seconds("drain", usual.drain), table.seconds("stop-timeout", usual.stop_timeout)
    )
