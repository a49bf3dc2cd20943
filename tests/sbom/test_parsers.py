"""What package managers write, read by the parser that its path selects."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lamina.base.errors import LaminaError
from lamina.sbom.package import Package
from lamina.sbom.parsers.debian import read_copyright
from lamina.sbom.readers import reader_of

if TYPE_CHECKING:
    from collections.abc import Mapping


def read(path: str, data: bytes) -> list[Package]:
    file = reader_of(path, 0o100755, len(data))
    assert file is not None
    return list(file.read(io.BytesIO(data)))


def elf(sections: Mapping[str, bytes], order: str = "<") -> bytes:
    """A 64-bit ELF file with these sections, padded to the size of a program."""
    names = b"\0"
    content = b""
    headers = [struct.pack(f"{order}IIQQQQIIQQ", *[0] * 10)]
    for name, data in {**sections, ".shstrtab": b""}.items():
        place = len(names)
        names += name.encode() + b"\0"
        if name == ".shstrtab":
            data = names
        header = (place, 1, 0, 0, 64 + len(content), len(data), 0, 0, 1, 0)
        headers.append(struct.pack(f"{order}IIQQQQIIQQ", *header))
        content += data
    start = 64 + len(content)
    head = b"\x7fELF\x02" + (b"\x01" if order == "<" else b"\x02") + bytes(10)
    fields = struct.pack(
        f"{order}HHIQQQIHHHHHH", 2, 62, 1, 0, 0, start, 0, 64, 0, 0, 64, len(headers),
        len(headers) - 1,
    )  # fmt: skip
    return (head + fields + content + b"".join(headers)).ljust(5000, b"\0")


def test_dpkg() -> None:
    status = (
        "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc\n"
        "Maintainer: GNU Libc <libc@example.org>\nVersion: 2.36-9\n\n"
        "Package: bash\nStatus: install ok installed\nSource: bash (5.2)\nVersion: 5.2+b1\n"
        "Architecture: amd64\n\nPackage: old\nStatus: deinstall ok config-files\nVersion: 1\n"
    )
    first, second = read("var/lib/dpkg/status", status.encode())
    assert first.purl == "pkg:deb/libc6@2.36-9?arch=amd64&upstream=glibc"
    assert first.supplier == "GNU Libc <libc@example.org>"
    assert second.purl == "pkg:deb/bash@5.2%2Bb1?arch=amd64"
    (distroless,) = read("var/lib/dpkg/status.d/base", b"Package: base-files\nVersion: 12\n")
    assert distroless.name == "base-files"
    assert reader_of("var/lib/dpkg/status.d/base.md5sums", 0o100644, 9) is None


def test_copyright_files() -> None:
    formatted = (
        b"Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"
        b"Files: *\nLicense: GPL-2+\n text\n\nFiles: a\nLicense: Expat\n\nLicense: GPL-2+\n words\n"
    )
    assert read_copyright(formatted) == ("GPL-2+", "Expat")
    free = b"On Debian, see `/usr/share/common-licenses/GPL-3'. And /usr/share/common-licenses/BSD."
    assert read_copyright(free) == ("GPL-3", "BSD")


def test_apk() -> None:
    text = "C:Q1x=\nP:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\no:musl\nm:A B <a@b>\n\nP:x\nV:1\no:y\n\n"
    musl, other = read("lib/apk/db/installed", text.encode())
    assert musl == Package(
        "apk",
        "musl",
        "1.2.4-r2",
        "",
        (("arch", "x86_64"), ("upstream", "")),
        ("MIT",),
        "A B <a@b>",
    )
    assert other.purl == "pkg:apk/x@1?upstream=y"


@pytest.mark.parametrize(
    ("fields", "licences"),
    [
        ("License-Expression: MIT OR Apache-2.0\nLicense: other\n", ("MIT OR Apache-2.0",)),
        ("License: BSD\n", ("BSD",)),
        (
            "License: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License\n"
            "Classifier: Topic :: X\nClassifier: License :: OSI Approved\n",
            ("MIT License",),
        ),
        (f"License: {'text ' * 40}\n", ()),
    ],
)
def test_python(fields: str, licences: tuple[str, ...]) -> None:
    text = f"Metadata-Version: 2.4\nName: My_Lib.x\nVersion: 1.0\n{fields}\nVersion: 2\n"
    path = "usr/lib/python3/my_lib-1.0.dist-info/METADATA"
    (package,) = read(path, text.encode())
    assert (package.purl, package.licences) == ("pkg:pypi/my-lib-x@1.0", licences)


def test_npm() -> None:
    path = "app/node_modules/@scope/lib/package.json"
    document = {"name": "@scope/lib", "version": "1.2.3", "license": {"type": "ISC"}}
    (package,) = read(path, json.dumps(document).encode())
    assert package.purl == "pkg:npm/%40scope/lib@1.2.3"
    assert package.full_name == "@scope/lib"
    assert package.licences == ("ISC",)
    old = {"name": "x", "version": "1", "licenses": [{"type": "MIT"}, "BSD"], "author": {"name": 1}}
    (package,) = read("node_modules/x/package.json", json.dumps(old).encode())
    assert package.licences == ("MIT", "BSD")


def test_composer() -> None:
    entry = {"name": "Vendor/Lib", "version": "v1.2.0", "license": ["MIT", "GPL-2.0-only"]}
    for document in ({"packages": [entry]}, [entry]):
        path = "app/vendor/composer/installed.json"
        (package,) = read(path, json.dumps(document).encode())
        assert package.purl == "pkg:composer/vendor/lib@1.2.0"
        assert package.licences == ("MIT OR GPL-2.0-only",)


def test_gem() -> None:
    text = (
        'Gem::Specification.new do |s|\n  s.name = "rack".freeze\n  s.version = "3.0.8"\n'
        '  s.licenses = ["MIT".freeze, "Ruby"]\n  s.platform = "java".freeze\nend\n'
    )
    path = "usr/lib/ruby/gems/3.1.0/specifications/rack-3.0.8.gemspec"
    (package,) = read(path, text.encode())
    assert package.purl == "pkg:gem/rack@3.0.8?platform=java"
    assert package.licences == ("MIT", "Ruby")
    assert reader_of("src/rack.gemspec", 0o100644, 9) is None


def archive(entries: Mapping[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return made.getvalue()


def test_java() -> None:
    properties = b"#made\ngroupId=org.example\nartifactId=inner\nversion=2.0\n"
    inner = archive({"META-INF/maven/org.example/inner/pom.properties": properties})
    manifest = (
        b"Manifest-Version: 1.0\r\nImplementation-Vendor-Id: com.exa\r\n mple\r\n"
        b"Bundle-License: Apache-2.0;link=x\r\n\r\nName: a/b\r\n"
    )
    outer = archive({"META-INF/MANIFEST.MF": manifest, "BOOT-INF/lib/inner-2.0.jar": inner})
    first, second = read("opt/app-1.4.jar", outer)
    assert first.purl == "pkg:maven/com.example/app@1.4"
    assert first.licences == ("Apache-2.0",)
    assert second.purl == "pkg:maven/org.example/inner@2.0"
    assert second.full_name == "org.example:inner"


def test_go_and_cargo_programs() -> None:
    modules = bytes(16) + b"path\tx\ndep\tgithub.com/a/b\tv1.0.0\th1:\n" + bytes(16)
    go = b"\xff Go buildinf:\x08\x02" + bytes(16)
    go += bytes((8,)) + b"go1.22.1" + bytes((len(modules),)) + modules
    packages = [
        {"name": "serde", "version": "1.0.1", "source": "crates.io"},
        {"name": "cc", "version": "1", "kind": "build"},
    ]
    cargo = zlib.compress(json.dumps({"packages": packages}).encode())
    for order in "<>":
        found = read("usr/bin/x", elf({".go.buildinfo": go, ".dep-v0": cargo}, order))
        assert [package.purl for package in found] == [
            "pkg:golang/stdlib@1.22.1",
            "pkg:golang/github.com/a/b@v1.0.0",
            "pkg:cargo/serde@1.0.1",
        ]
    assert read("bin/busybox", Path("/bin/busybox").read_bytes()) == []
    (stdlib,) = read("usr/bin/skopeo", Path("/usr/bin/skopeo").read_bytes())
    assert stdlib.name == "stdlib"


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("opt/x.jar", b"PK\3\4 no archive"),
        ("opt/x.jar", archive({"META-INF/MANIFEST.MF": bytes(2 << 20)})),
        ("usr/bin/x", elf({".dep-v0": b"not compressed"})),
        ("usr/bin/x", elf({".dep-v0": zlib.compress(bytes(64))[:-9]})),
        ("usr/bin/x", elf({".go.buildinfo": b"\xff Go buildinf:\x08\x02" + bytes(3)})),
        ("a/vendor/composer/installed.json", b"3"),
        ("a/vendor/composer/installed.json", b"[[]]"),
        ("node_modules/a/package.json", b"{"),
    ],
)
def test_damaged_files_are_refused(path: str, data: bytes) -> None:
    with pytest.raises((ValueError, LaminaError)):
        read(path, data)


@pytest.mark.parametrize("cut", [3, 20, 60, 100, 4990])
def test_truncated_programs_have_no_packages(cut: int) -> None:
    whole = elf({".text": bytes(64)})
    assert read("usr/bin/x", whole[:cut].ljust(5000, b"\xff")) == []
