"""Scans a file system for packages."""

from __future__ import annotations

import hashlib
import os
import shlex
import stat
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, LaminaError, NotFound
from lamina.sbom.package import Distribution, Evidence, FoundPackage, Package, Scan
from lamina.sbom.readers import reader_of
from lamina.system.regular import open_regular, read_regular

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamina.refs.tree import Tree
    from lamina.sbom.readers import PackageFile
    from lamina.system.cancel import Cancellation

_OS_RELEASE = ("etc/os-release", "usr/lib/os-release")
_TEXT_LIMIT = 1 << 20
_VENDORS = {"deb": "debian", "apk": "alpine", "rpm": "redhat"}
"""The namespaces of package URLs if the file system does not name its distribution."""
_VIRTUAL = ("proc", "sys", "dev", "run/lamina")


def scan(tree: Tree, layers: Sequence[str], cancel: Cancellation) -> Scan:
    """Find the packages of a file system. Files that cannot be read are reported as problems.

    Args:
        layers: the directory with the difference that each layer makes, lowest first; empty if
            there are no layers, or if they are unknown.

    Raises Cancelled, and OSError if directories cannot be read.
    """
    return _Scanner(tree, layers, cancel).scan()


class _Scanner:
    def __init__(self, tree: Tree, layers: Sequence[str], cancel: Cancellation) -> None:
        self._tree = tree
        self._layers = layers
        self._cancel = cancel
        self._problems: list[tuple[str, str]] = []
        self._distribution = _distribution(tree)
        self._licences: dict[str, tuple[str, ...]] = {}

    def scan(self) -> Scan:
        found: dict[tuple[Package, str], FoundPackage] = {}
        for path, status in self._files():
            self._cancel.check()
            file = reader_of(path, status.st_mode, status.st_size)
            if file is None:
                continue
            for one in self._read(path, file):
                found.setdefault((one.package, one.evidence.path), one)
        ordered = sorted(found.values(), key=lambda one: (one.package, one.evidence.path))
        return Scan(tuple(ordered), self._distribution, tuple(self._problems))

    def _files(self) -> Iterator[tuple[str, os.stat_result]]:
        """The regular files, without those of virtual file systems."""
        folders = [""]
        while folders:
            folder = folders.pop()
            for name, status in self._tree.children(folder):
                path = f"{folder}/{name}" if folder else name
                if stat.S_ISDIR(status.st_mode):
                    if path not in _VIRTUAL:
                        folders.append(path)
                elif stat.S_ISREG(status.st_mode):
                    yield path, status

    def _read(self, path: str, file: PackageFile) -> Iterator[FoundPackage]:
        try:
            packages = self._packages(self._tree.real(path), file)
            if not packages:
                return
            evidence = self._evidence(path)
        except (ValueError, OSError) as error:
            self._problems.append((f"/{path}", str(error)))
            return
        except LaminaError as error:
            self._problems.append((f"/{path}", error.reason))
            return
        introduced = self._introduced(path, file) if file.database else {}
        for package in packages:
            layer = introduced.get(package, evidence.layer)
            yield FoundPackage(self._described(package), evidence, layer)

    def _packages(self, real: str, file: PackageFile) -> list[Package]:
        with open(open_regular(real), "rb") as opened:
            return list(file.read(opened))

    def _evidence(self, path: str) -> Evidence:
        sha1, sha256 = hashlib.sha1(usedforsecurity=False), hashlib.sha256()
        with open(open_regular(self._tree.real(path)), "rb", buffering=0) as file:
            while chunk := file.read(1 << 20):
                self._cancel.check()
                sha1.update(chunk)
                sha256.update(chunk)
        copies = self._copies(path)
        layer = copies[-1] if copies else None
        return Evidence(f"/{path}", sha1.hexdigest(), sha256.hexdigest(), layer)

    def _copies(self, path: str) -> list[int]:
        """The numbers of the layers that have a file at a path, lowest first."""
        found = []
        for number, folder in enumerate(self._layers):
            try:
                status = os.lstat(f"{folder}/{path}")
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode):
                found.append(number)
        return found

    def _introduced(self, path: str, file: PackageFile) -> dict[Package, int]:
        """The layer that introduced each package of a database, which layers write as a whole."""
        since: dict[Package, int] = {}
        copies = self._copies(path)
        if len(copies) < 2:
            return {}
        for number in copies:
            try:
                packages = self._packages(f"{self._layers[number]}/{path}", file)
            except (ValueError, OSError, LaminaError):
                return {}
            since = {package: since.get(package, number) for package in packages}
        return since

    def _described(self, package: Package) -> Package:
        """A package with what other files say about it: the distribution, and the licence."""
        vendor = _VENDORS.get(package.kind)
        if vendor is None:
            return package
        here = self._distribution
        distro = f"{here.id}-{here.version}" if here.version else here.id
        qualifiers = (*package.qualifiers, ("distro", distro))
        licences = package.licences
        if package.kind == "deb":
            licences = self._copyright(package.name)
        return package._replace(
            namespace=here.id or vendor, qualifiers=qualifiers, licences=licences
        )

    def _copyright(self, name: str) -> tuple[str, ...]:
        if name not in self._licences:
            from lamina.sbom.parsers.debian import read_copyright

            data = _read_linked(self._tree, f"usr/share/doc/{name}/copyright")
            self._licences[name] = read_copyright(data)
        return self._licences[name]


def _distribution(tree: Tree) -> Distribution:
    for path in _OS_RELEASE:
        if data := _read_linked(tree, path):
            fields = {}
            for line in data.decode("utf-8", "replace").splitlines():
                key, equals, value = line.partition("=")
                if equals and not key.startswith("#"):
                    fields[key.strip()] = _unquoted(value)
            return Distribution(
                fields.get("ID", ""), fields.get("VERSION_ID", ""), fields.get("PRETTY_NAME", "")
            )
    return Distribution()


def _unquoted(value: str) -> str:
    try:
        return " ".join(shlex.split(value))
    except ValueError:
        return value.strip()


def _read_linked(tree: Tree, path: str) -> bytes:
    """A small file, b"" if there is none. Links are followed in the file system."""
    try:
        found, _ = tree.find(path, follow=True)
        return read_regular(tree.real(found), _TEXT_LIMIT)
    except (NotFound, InvalidInput, OSError):
        return b""
