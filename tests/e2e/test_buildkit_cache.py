"""A cache that a real BuildKit has exported, and keys that are equal to BuildKit's.

`data/buildkit-cache.tar.gz` was written by buildkitd, from what `make_context` makes:

    buildctl build --frontend dockerfile.v0 --local context=C --local dockerfile=C \\
        --export-cache type=local,dest=OUT,mode=max

and `data/buildkit-image-cache.tar.gz`, on top of the image that `make_base` makes, with

        --oci-layout base=LAYOUT --opt context:base=oci-layout://base@DIGEST
"""

from __future__ import annotations

import io
import json
import os
import platform
import stat
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lamina.base.digest import digest_of

if TYPE_CHECKING:
    from tests.commands import Lamina

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the program is x86-64")

DATA = Path(__file__).parent / "data"

DOCKERFILE = """FROM scratch AS base
COPY --chmod=755 make /make
RUN ["/make"]
ENV A="b & <c> d"
WORKDIR /w
COPY d/*.txt /t/
COPY d* /all/
COPY --exclude=**/*.md . /x1/
COPY --exclude=e --chown=5:6 d/* /x2/
COPY --parents d/e/*.txt p/./q /par/
COPY d/link el/three.txt /l/
COPY --chmod=u=rwX,go=rX d/two.md /m
COPY <<E /inline
a < b \N{LATIN SMALL LETTER E WITH ACUTE}
E
RUN --network=none ["/make"]
RUN --mount=type=bind,source=d,target=/s --mount=type=cache,target=/c ["/make"]
RUN --mount=type=cache,id=n,target=/c,sharing=locked --mount=type=tmpfs,target=/tm ["/make"]
RUN --mount=type=secret,id=s,env=S --mount=type=ssh --mount=type=secret,id=s,mode=0440 ["/make"]
FROM base
USER 5
COPY --from=base --link /t /linked
COPY --from=base --parents /x1/*/e /fp/
COPY --from=base /all/d* /fw/
RUN --mount=from=base,source=/t,target=/t ["/make"]
"""

ON_AN_IMAGE = """FROM base
RUN ["/make"]
COPY . /x
RUN --mount=type=bind,target=/c ["/make"]
"""


def program() -> bytes:
    """A static x86-64 program that creates the file /tmp-made ("hi"), if permitted."""
    code = bytes.fromhex(
        "b802000000"  # mov eax, 2 (open)
        "488d3d31000000"  # lea rdi, [rip+path]
        "be41020000"  # mov esi, O_WRONLY|O_CREAT|O_TRUNC
        "baa4010000"  # mov edx, 0644
        "0f05"
        "89c7"  # mov edi, eax
        "b801000000"  # mov eax, 1 (write)
        "488d3521000000"  # lea rsi, [rip+text]
        "ba03000000"  # mov edx, 3
        "0f05"
        "b83c000000"  # mov eax, 60 (exit)
        "31ff"
        "0f05"
    )
    base, start = 0x400000, 64 + 56
    text = code + b"\x90" * 7 + b"/tmp-made\0hi\n"
    size = start + len(text)
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += (2).to_bytes(2, "little") + (62).to_bytes(2, "little") + (1).to_bytes(4, "little")
    head += (base + start).to_bytes(8, "little") + (64).to_bytes(8, "little") + bytes(8)
    head += bytes(4) + b"".join(n.to_bytes(2, "little") for n in (64, 56, 1, 64, 0, 0))
    segment = (1).to_bytes(4, "little") + (5).to_bytes(4, "little") + bytes(8)
    segment += base.to_bytes(8, "little") * 2 + size.to_bytes(8, "little") * 2
    segment += (4096).to_bytes(8, "little")
    return head + segment + text


def make_context(folder: Path) -> Path:
    """Make a context, equal on every machine: contents, modes, links."""
    for name in ("d/e", "p/q"):
        (folder / name).mkdir(parents=True)
    files = {
        **dict.fromkeys(("d/one.txt", "d/e/three.txt", "p/q/four.txt"), b"text\n"),
        "d/two.md": b"# two\n",
        "make": program(),
        "Dockerfile": DOCKERFILE.encode(),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "d/link").symlink_to("one.txt")
    (folder / "el").symlink_to("d/e")
    for base, folders, names in os.walk(folder):
        for name in (".", *folders, *names):
            path = os.path.join(base, name)
            mode = os.lstat(path).st_mode
            if not stat.S_ISLNK(mode):
                os.chmod(path, 0o755 if stat.S_ISDIR(mode) else 0o644)
    return folder


def make_base(folder: Path) -> str:
    """An OCI layout with an image of one layer, which contains the program. Returns its manifest's
    digest."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        member = tarfile.TarInfo("make")
        member.mode, member.size = 0o755, len(program())
        archive.addfile(member, io.BytesIO(program()))
    (folder / "blobs/sha256").mkdir(parents=True)

    def put(data: bytes, kind: str) -> dict[str, Any]:
        digest = digest_of(data)
        (folder / "blobs/sha256" / digest.hex).write_bytes(data)
        return {
            "mediaType": f"application/vnd.oci.image.{kind}",
            "digest": str(digest),
            "size": len(data),
        }

    layer = put(buffer.getvalue(), "layer.v1.tar")
    rootfs = {"type": "layers", "diff_ids": [layer["digest"]]}
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put(json.dumps(config).encode(), "config.v1+json"),
        "layers": [layer],
    }
    target = put(json.dumps(manifest).encode(), "manifest.v1+json")
    index = {"schemaVersion": 2, "manifests": [target]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return str(target["digest"])


def records(folder: Path) -> list[Any]:
    index = json.loads((folder / "index.json").read_text())
    blobs = folder / "blobs/sha256"

    def read(digest: str) -> Any:
        return json.loads((blobs / digest.removeprefix("sha256:")).read_text())

    manifest = read(index["manifests"][0]["digest"])
    config = manifest.get("config") or next(
        entry for entry in manifest["manifests"] if "cacheconfig" in entry["mediaType"]
    )
    found: list[Any] = read(config["digest"])["records"]
    return found


def shape(found: list[Any]) -> set[str]:
    """Records with their inputs, in any order."""
    return {
        json.dumps(
            [
                record["digest"],
                [
                    sorted([found[i["link"]]["digest"], i.get("selector", "")] for i in links)
                    for links in record.get("inputs", [])
                ],
            ]
        )
        for record in found
    }


def unpacked(name: str, folder: Path) -> Path:
    with tarfile.open(DATA / name) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    return unpacked("buildkit-cache.tar.gz", tmp_path / "exported")


def test_every_step_is_found_in_buildkits_cache(
    exported: Path, lamina: Lamina, tmp_path: Path
) -> None:
    folder = make_context(tmp_path / "context")
    words = ["--secret", "id=s,env=HOME", "--cache-from", f"type=local,src={exported}"]
    log = lamina.build(folder, *words, "-o", str(tmp_path / "out"))
    steps = [line for line in log.splitlines() if "] COPY" in line or "] RUN" in line]
    assert len(steps) >= 16
    assert log.count(" CACHED") == log.count("] COPY") + log.count("] RUN") + log.count("] WORKDIR")
    assert (tmp_path / "out/linked/one.txt").read_text() == "text\n"
    assert (tmp_path / "out/tmp-made").read_text() == "hi\n"


def test_lamina_exports_the_same_records(exported: Path, lamina: Lamina, tmp_path: Path) -> None:
    folder = make_context(tmp_path / "context")
    to = f"type=local,dest={tmp_path}/cache,mode=max"
    lamina.build(folder, "--secret", "id=s,env=HOME", "--cache-to", to)
    assert shape(records(tmp_path / "cache")) == shape(records(exported))


def test_images_go_by_their_manifests_and_by_their_layers(lamina: Lamina, tmp_path: Path) -> None:
    exported = unpacked("buildkit-image-cache.tar.gz", tmp_path / "exported")
    folder = make_context(tmp_path / "context")
    (folder / "Dockerfile").write_text(ON_AN_IMAGE)
    digest = make_base(tmp_path / "layout")
    base = ("--build-context", f"base=oci-layout://{tmp_path}/layout@{digest}")
    log = lamina.build(folder, *base, "--cache-from", f"type=local,src={exported}")
    assert log.count(" CACHED") >= 3
    assert log.count("] RUN") == 2
    lamina.build(folder, *base, "--cache-to", f"type=local,dest={tmp_path}/cache,mode=max")
    assert shape(records(tmp_path / "cache")) == shape(records(exported))
