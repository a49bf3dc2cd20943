"""Packages as values."""

from __future__ import annotations

from urllib.parse import quote

from lamina.base.named_tuple import NamedTuple

_SAFE = ":"


class Package(NamedTuple):
    """An installed package.

    `kind` is the type of its package URL: `deb`, `apk`, `rpm`, `pypi`, `npm`, `golang`, `cargo`,
    `maven`, `gem` or `composer`. `namespace` is the vendor, scope or group, "" for none.
    `qualifiers` are those of the package URL. `licences` are as the package declares them: names or
    SPDX expressions. `supplier` is who maintains it.
    """

    kind: str
    name: str
    version: str
    namespace: str = ""
    qualifiers: tuple[tuple[str, str], ...] = ()
    licences: tuple[str, ...] = ()
    supplier: str = ""

    @property
    def full_name(self) -> str:
        """The name with its namespace, as the package's manager writes it.

        Distributions are no part of it.
        """
        if not self.namespace or self.kind in ("deb", "apk", "rpm"):
            return self.name
        return f"{self.namespace}{':' if self.kind == 'maven' else '/'}{self.name}"

    @property
    def purl(self) -> str:
        """The package URL (purl-spec)."""
        path = [*self.namespace.split("/"), self.name] if self.namespace else [self.name]
        version = f"@{_escape(self.version)}" if self.version else ""
        pairs = sorted((key, value) for key, value in self.qualifiers if value)
        query = "&".join(f"{key}={_escape(value)}" for key, value in pairs)
        return f"pkg:{self.kind}/{'/'.join(map(_escape, path))}{version}{query and f'?{query}'}"


class Evidence(NamedTuple):
    """A file that shows that packages are installed.

    `path` is absolute in the file system. `layer` is the number of the layer that has the file,
    from 0, None if it is unknown. Digests are hexadecimal.
    """

    path: str
    sha1: str
    sha256: str
    layer: int | None = None


class FoundPackage(NamedTuple):
    """A package, the file that lists it, and the layer that introduced it (None: unknown)."""

    package: Package
    evidence: Evidence
    layer: int | None = None


class Distribution(NamedTuple):
    """The operating system of `/etc/os-release`: `id` (`debian`), `version` (`12`), `name`."""

    id: str = ""
    version: str = ""
    name: str = ""


class Scan(NamedTuple):
    """The outcome of a scan. `problems` say which files could not be read: (path, reason)."""

    packages: tuple[FoundPackage, ...] = ()
    distribution: Distribution = Distribution()
    problems: tuple[tuple[str, str], ...] = ()


def _escape(text: str) -> str:
    return quote(text, safe=_SAFE, errors="replace")
