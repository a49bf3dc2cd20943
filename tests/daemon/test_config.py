from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.base.errors import InvalidInput, LaminaError, NotFound
from lamina.daemon import config
from lamina.daemon.config import DaemonConfig, DiskSpace, GcPolicy
from lamina.daemon.config_file import load_config, parse_config
from lamina.records.retention import Retention

if TYPE_CHECKING:
    from pathlib import Path

# Every key in BuildKit's docs/buildkitd.toml.md and its config package.
EVERYTHING = """
root = "/data"
debug = false
trace = false
insecure-entitlements = ["network.host", "security.insecure", "device"]
proxyNetwork = true
provenanceEnvDir = "/prov"

[log]
  format = "json"
  level = "debug"

[dns]
  nameservers = ["1.1.1.1"]
  options = ["edns0"]
  searchDomains = ["example.com"]

[grpc]
  address = ["tcp://0.0.0.0:1234", "unix:///x.sock"]
  debugAddress = "0.0.0.0:6060"
  uid = 1
  gid = 2
  securityDescriptor = ""
  [grpc.tls]
    cert = "c"
    key = "k"
    ca = "a"

[otel]
  socketPath = "/otel.sock"

[cdi]
  disabled = true
  specDirs = ["/cdi"]
  autoAllowed = ["vendor.com/device"]

[history]
  maxAge = 3600
  maxEntries = 7
  maxSize = "500MB"

[worker.oci]
  enabled = true
  platforms = ["linux/amd64", "linux/arm64"]
  snapshotter = "overlayfs"
  rootless = false
  noProcessSandbox = false
  gc = true
  gckeepstorage = 5
  reservedSpace = "30%"
  maxUsedSpace = "1.5GB"
  minFreeSpace = 20000000000
  binary = "crun"
  apparmor-profile = "p"
  selinux = true
  max-parallelism = 4
  cniPoolSize = 16
  cniConfigPath = "/cni.json"
  cniBinaryPath = "/opt/cni/bin"
  networkMode = "host"
  bridgeName = "br0"
  bridgeSubnet = "10.0.0.0/8"
  defaultCgroupParent = "parent"
  proxySnapshotterPath = ""
  userRemapUnsupported = ""
  stargzSnapshotter = { a = 1 }
  [worker.oci.labels]
    foo = "bar"
    "a b" = "c"
  [[worker.oci.gcpolicy]]
    reservedSpace = "512MB"
    maxUsedSpace = "1GB"
    minFreeSpace = "10%"
    keepDuration = "48h"
    filters = ["type==source.local", "type==exec.cachemount"]
  [[worker.oci.gcpolicy]]
    all = true
    keepBytes = 1024000000
    keepDuration = 172800

[worker.containerd]
  address = "/run/containerd/containerd.sock"
  enabled = false
  namespace = "buildkit"
  [worker.containerd.runtime]
    name = "io.containerd.runc.v2"
    options = { BinaryName = "runc" }

[registry."docker.io"]
  mirrors = ["mirror.local:5000"]
  http = true
  insecure = true
  ca = ["/ca.pem"]
  tlsconfigdir = ["/nowhere"]
  [[registry."docker.io".keypair]]
    key = "/k.pem"
    cert = "/c.pem"

[frontend."dockerfile.v0"]
  enabled = false
[frontend."gateway.v0"]
  enabled = true
  allowedRepositories = ["example.com/frontend"]

[system]
  platformsCacheMaxAge = "1h"
  maxRegistryConcurrency = 4

[ghacache.sign]
  cmd = ""
[cache.gha.verify]
  required = false

[lamina]
  drain = "1m"
  stop-timeout = "20s"
"""


def test_every_key_is_read() -> None:
    loaded = parse_config(tomllib.loads(EVERYTHING), "f.toml")
    assert loaded.warnings == ()
    found = loaded.config
    registry = dict(found.hosts.registries)["docker.io"]
    assert registry.mirrors == ("mirror.local:5000",)
    assert (registry.http, registry.insecure) == (True, True)
    assert registry.tls.ca == ("/ca.pem",)
    assert registry.tls.keypairs == (("/c.pem", "/k.pem"),)
    gb = 1 << 30
    assert found._replace(hosts=DaemonConfig().hosts) == DaemonConfig(
        root="/data",
        entitlements=("network.host", "security.insecure", "device"),
        proxy_network=True,
        provenance_env_dir="/prov",
        otel_socket="/otel.sock",
        log=config.LogConfig("json", "debug"),
        grpc=config.GrpcConfig(
            ("tcp://0.0.0.0:1234", "unix:///x.sock"),
            1,
            2,
            config.TlsFiles("c", "k", "a"),
            "0.0.0.0:6060",
        ),
        cdi=config.CdiConfig(True, ("/cdi",), ("vendor.com/device",)),
        worker=config.WorkerConfig(
            enabled=True,
            labels=(("foo", "bar"), ("a b", "c")),
            platforms=("linux/amd64", "linux/arm64"),
            snapshotter="overlayfs",
            binary="crun",
            cgroup_parent="parent",
            apparmor_profile="p",
            selinux=True,
            max_parallelism=4,
            gc=config.GcConfig(
                True,
                DiskSpace(percent=30),
                DiskSpace(gb * 3 // 2),
                DiskSpace(20_000_000_000),
                (
                    GcPolicy(
                        False,
                        ("type==source.local", "type==exec.cachemount"),
                        172_800.0,
                        DiskSpace(512 << 20),
                        DiskSpace(gb),
                        DiskSpace(percent=10),
                    ),
                    GcPolicy(True, (), 172_800.0, DiskSpace(1_024_000_000)),
                ),
            ),
            network=config.NetworkConfig(
                "host", "/cni.json", "/opt/cni/bin", 16, "br0", "10.0.0.0/8"
            ),
        ),
        dns=config.DnsConfig(("1.1.1.1",), ("edns0",), ("example.com",)),
        history=Retention(3600.0, 7, 500 << 20),
        frontends=config.FrontendConfig(False, True, ("example.com/frontend",)),
        system=config.SystemConfig(3600.0, 4),
        life=config.LifeConfig(60.0, 20.0),
    )


def test_an_empty_file_is_the_defaults() -> None:
    assert parse_config({}, "f") == (DaemonConfig(), ())


def test_old_spellings() -> None:
    document = tomllib.loads("debug = true\n[worker.oci]\nGCKeepStorage = 9\nEnabled = true")
    loaded = parse_config(document, "f")
    assert loaded.config.log.level == "debug"
    assert loaded.config.worker.gc.reserved == DiskSpace(9)
    assert loaded.config.worker.enabled is True
    assert loaded.warnings == ("'debug' is deprecated, use 'log.level = \"debug\"'",)


def test_missing_keys_of_a_history_table_are_unset() -> None:
    assert parse_config({"history": {"maxEntries": 3}}, "f").config.history == Retention(0.0, 3, 0)
    assert parse_config({"history": {}}, "f").config.history == Retention()


def test_unknown_keys_warn_with_their_path() -> None:
    document = tomllib.loads(
        'nonsense = 1\n[worker.oci]\nfoo = 1\n[[worker.oci.gcpolicy]]\nbar = 2\n[x."a.b"]\nc = 1\n'
        '[registry."docker.io"]\nmirror = 1\nmirrors = []'
    )
    assert sorted(parse_config(document, "f").warnings) == [
        "f: unknown key nonsense is ignored",
        'f: unknown key registry."docker.io".mirror is ignored',
        "f: unknown key worker.oci.foo is ignored",
        "f: unknown key worker.oci.gcpolicy[0].bar is ignored",
        "f: unknown key x is ignored",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("root = 1", "f: root must be a string, not 1"),
        ("[grpc]\naddress = 'x'", "f: grpc.address must be a list of strings, not 'x'"),
        ("[grpc]\nuid = -1", "f: grpc.uid must be a whole number, not -1"),
        ("[grpc]\nuid = true", "f: grpc.uid must be a whole number, not True"),
        ("grpc = 1", "f: grpc must be a table, not 1"),
        ("[worker.oci]\ngc = 'yes'", "f: worker.oci.gc must be true or false, not 'yes'"),
        ("[worker.oci]\nsnapshotter = 'zfs'", "f: worker.oci.snapshotter must be one of auto,"),
        ("[worker.oci]\nmaxUsedSpace = '10 apples'", "f: worker.oci.maxUsedSpace must be a number"),
        ("[worker.oci]\nmaxUsedSpace = '101%'", "f: worker.oci.maxUsedSpace must be a number"),
        ("[worker.oci]\ngcpolicy = {}", "f: worker.oci.gcpolicy must be an array of tables"),
        ("[history]\nmaxAge = 'long'", "f: history.maxAge must be a number of seconds"),
        ("insecure-entitlements = ['x']", 'f: insecure-entitlements: invalid entitlement "x"'),
        ("[worker.containerd]\nenabled = true", "f: worker.containerd.enabled is true"),
        ("[registry.x]\nhttp = 1", 'f: registry."x".http must be true or false'),
        ("registry.x = 1", 'f: registry."x" must be a table'),
        ("[system]\nmaxRegistryConcurrency = 0", "f: system.maxRegistryConcurrency must be more"),
    ],
)
def test_errors_about_wrong_values_name_key_and_value(text: str, expected: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_config(tomllib.loads(text), "f")
    assert str(caught.value).startswith(expected)


def test_files(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        load_config(str(tmp_path / "none.toml"))
    path = tmp_path / "c.toml"
    path.write_text("= what")
    with pytest.raises(InvalidInput, match=r"c\.toml"):
        load_config(str(path))
    path.write_bytes(b"root = '\xff'")
    with pytest.raises(InvalidInput, match=r"c\.toml"):
        load_config(str(path))
    path.write_text("root = '/r'")
    assert load_config(str(path)).config.root == "/r"


def test_percentages_of_a_disk() -> None:
    assert DiskSpace(5).of(1000) == 5
    assert DiskSpace().of(1 << 40) == 0
    assert DiskSpace(percent=10).of(100 << 30) == 11_000_000_000


scalars = st.one_of(st.integers(), st.text(max_size=8), st.booleans(), st.floats(), st.none())
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
_NAMES = ["root", "log", "grpc", "worker", "registry", "history", "dns", "oci", "tls", "frontend"]
_NAMES += ["gcpolicy", "keepDuration", "reservedSpace", "labels", "level", "address", "system"]


@given(
    st.dictionaries(
        st.sampled_from(_NAMES),
        st.one_of(
            values,
            st.dictionaries(st.sampled_from(_NAMES), values, max_size=4),
            st.dictionaries(
                st.sampled_from(_NAMES), st.dictionaries(st.sampled_from(_NAMES), values)
            ),
        ),
        max_size=6,
    )
)
def test_any_document_is_read_or_refused_by_name(document: dict[str, Any]) -> None:
    try:
        parse_config(document, "f.toml")
    except LaminaError as error:
        assert str(error).startswith("f.toml")


@given(st.integers(0, 1 << 50))
def test_sizes_as_numbers_and_texts(size: int) -> None:
    for written in (size, str(size), f"{size}B"):
        document = {"worker": {"oci": {"reservedSpace": written}}}
        found = parse_config(document, "f").config.worker.gc.reserved
        assert found.size == pytest.approx(size, rel=1e-12)
