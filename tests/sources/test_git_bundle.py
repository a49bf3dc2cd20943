"""The header of bundles."""

from __future__ import annotations

import os
import tempfile

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lamina.base.errors import LaminaError
from lamina.sources.git_bundle import bundle_kind, parse_bundle_name

V3 = b"# v3 git bundle\n"


def kind_of(data: bytes) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "bundle")
        with open(path, "wb") as file:
            file.write(data)
        return bundle_kind(path)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"# v2 git bundle\n", "sha1"),
        (V3 + b"@object-format=sha256\n\n", "sha256"),
        (V3 + b"@filter=blob:none\n@object-format=sha256\n", "sha256"),
        (V3 + b"@object-format=sha1\n", "sha1"),
        (V3 + b"-0 x\n@object-format=sha256\n", "sha1"),
        (V3 + b"@object-format=md5\n", ""),
        (b"# v2 git bundle", ""),
        (b"gitdir: /etc", ""),
        (b"", ""),
    ],
)
def test_kinds(data: bytes, kind: str) -> None:
    assert kind_of(data) == kind


@given(st.binary(max_size=64))
@example(b"@" * 10_000)
def test_any_bytes(tail: bytes) -> None:
    assert kind_of(tail) == "" or tail.startswith(b"# v")
    assert kind_of(V3 + tail) in ("", "sha1", "sha256")


@given(st.text())
@example("docker-image+blob://a@sha256:" + "0" * 64)
@example("oci-layout+blob://A@sha512:" + "0" * 128)
def test_any_name_is_read_or_refused(text: str) -> None:
    try:
        name = parse_bundle_name(text)
    except LaminaError:
        return
    assert parse_bundle_name(str(name)) == name
