"""The hosts of registries, with mirrors, schemes and TLS settings.

The configuration has the shape of `buildkitd.toml`:

    [registry."docker.io"]
      mirrors = ["mirror.example:5000", "proxy.example/hub"]
    [registry."mirror.example:5000"]
      http = true            # plain HTTP; the default for localhost
      insecure = true        # HTTPS without checking certificates, else plain HTTP
      ca = ["/etc/ca.pem"]
      [[registry."mirror.example:5000".keypair]]
        key = "/etc/key.pem"
        cert = "/etc/cert.pem"
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.base.toml_table import TomlTable

_DOCKER_HUB = "docker.io"
_DOCKER_HUB_HOST = "registry-1.docker.io"


class Tls(NamedTuple):
    """TLS settings. Files are PEM; `keypairs` are (cert, key)."""

    ca: tuple[str, ...] = ()
    keypairs: tuple[tuple[str, str], ...] = ()
    verify: bool = True


class Endpoint(NamedTuple):
    """A host that serves a registry's name.

    `schemes` are tried in order; `host` is `name[:port]`; `prefix` begins with `/v2`. A mirror only
    serves reads.
    """

    host: str
    schemes: tuple[str, ...]
    prefix: str = "/v2"
    tls: Tls = Tls()
    mirror: bool = False


class Registry(NamedTuple):
    """The configuration of one name. `http` None: the default for its host."""

    mirrors: tuple[str, ...] = ()
    http: bool | None = None
    insecure: bool = False
    tls: Tls = Tls()


class Hosts(NamedTuple):
    """The whole configuration, by registry name."""

    registries: tuple[tuple[str, Registry], ...] = ()

    def endpoints(self, domain: str) -> tuple[Endpoint, ...]:
        """The endpoints of `domain`, mirrors first."""
        known = dict(self.registries)
        registry = known.get(domain, Registry())
        found = []
        for mirror in registry.mirrors:
            host, _, path = mirror.partition("/")
            prefix = f"/v2/{path.strip('/')}".rstrip("/")
            found.append(_endpoint(host, known.get(host, Registry()), prefix, True))
        host = _DOCKER_HUB_HOST if domain == _DOCKER_HUB else domain
        found.append(_endpoint(host, registry, "/v2", False))
        return tuple(found)

    def trusting(self, domain: str) -> Hosts:
        """The same configuration, but `domain` may use plain HTTP or an unknown certificate."""
        known = dict(self.registries)
        known[domain] = known.get(domain, Registry())._replace(insecure=True)
        return Hosts(tuple(known.items()))


def _endpoint(host: str, registry: Registry, prefix: str, mirror: bool) -> Endpoint:
    plain = is_local(host) if registry.http is None else registry.http
    tls = registry.tls
    if registry.insecure:
        schemes: tuple[str, ...] = ("https", "http")
        tls = tls._replace(verify=False)
    else:
        schemes = ("http",) if plain else ("https",)
    return Endpoint(host, schemes, prefix, tls, mirror)


def is_local(host: str) -> bool:
    """Whether `host[:port]` is this machine, to which plain HTTP is allowed."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name == "::1" or name == "localhost" or _is_loopback(name)


def _is_loopback(name: str) -> bool:
    parts = name.split(".")
    return len(parts) == 4 and parts[0] == "127" and all(p.isdigit() for p in parts)


def configured_hosts() -> Hosts:
    """The configuration in the file `LAMINA_CONFIG`, or in `/etc/lamina/lamina.toml` if it exists.

    Raises InvalidInput.
    """
    import os

    path = os.environ.get("LAMINA_CONFIG", "/etc/lamina/lamina.toml")
    return load_hosts(path) if os.path.exists(path) else Hosts()


def load_hosts(path: str) -> Hosts:
    """Read a TOML file. Raises NotFound, InvalidInput."""
    from lamina.base.toml_table import read_toml

    name = f"registry configuration {path}"
    return parse_hosts(read_toml(path, "registry configuration", name=name), name)


def parse_hosts(document: Mapping[str, Any], file: str = "registry configuration") -> Hosts:
    """Read the `registry` table of a parsed configuration; other tables are ignored.

    Raises InvalidInput, which names `file`.
    """
    from lamina.base.toml_table import TomlTable

    known = TomlTable(document, file).document("registry")
    found = []
    for name, section in known.items():
        path = f'registry."{name}"'
        if not isinstance(section, dict):
            raise InvalidInput(f"{file}: {path} must be a table")
        found.append((name, _registry(TomlTable(section, file, path))))
    return Hosts(tuple(found))


def _registry(table: TomlTable) -> Registry:
    mirrors = tuple(
        mirror.removeprefix("https://").removeprefix("http://").rstrip("/")
        for mirror in table.texts("mirrors")
    )
    http, insecure = table.switch("http"), table.switch("insecure")
    ca = list(table.texts("ca"))
    pairs = [(pair.required("cert"), pair.required("key")) for pair in table.tables("keypair")]
    for folder in table.texts("tlsconfigdir"):
        _from_folder(folder, ca, pairs)
    table.refuse_unknown()
    return Registry(mirrors, http, bool(insecure), Tls(tuple(ca), tuple(pairs)))


def _from_folder(folder: str, ca: list[str], pairs: list[tuple[str, str]]) -> None:
    """Read a directory in Docker's layout: `*.crt` are authorities, `x.cert` belongs to `x.key`."""
    import os

    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        path = os.path.join(folder, name)
        if name.endswith(".crt"):
            ca.append(path)
        elif name.endswith(".cert"):
            pairs.append((path, path.removesuffix(".cert") + ".key"))
