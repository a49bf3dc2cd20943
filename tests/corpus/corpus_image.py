"""Images: the bases of cases, and the outputs of builds.

A line of a tree is `path type mode uid:gid` and then, for a file, its content (JSON) or, if that is
long, size and digest; for a link `-> target`; `@time` if it has an old time and is not a directory;
and its extended attributes. A removed path is `path gone`. Only differences from the base are
listed.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_APPLETS = [
    "cat",
    "chmod",
    "chown",
    "cp",
    "cut",
    "env",
    "false",
    "find",
    "grep",
    "head",
    "id",
    "ln",
    "ls",
    "mkdir",
    "mktemp",
    "mv",
    "nc",
    "printf",
    "pwd",
    "readlink",
    "rm",
    "rmdir",
    "sed",
    "sh",
    "sleep",
    "sort",
    "stat",
    "tail",
    "tee",
    "test",
    "touch",
    "tr",
    "true",
    "uname",
    "wc",
    "wget",
    "xargs",
    "echo",
    "date",
    "hostname",
    "mount",
    "umount",
    "df",
    "dd",
    "seq",
    "basename",
    "dirname",
    "whoami",
    "ulimit",
    "sync",
    "ps",
]
_OLD = 1_577_836_800  # 2020
_LONG = 200
_TIME = 1_100_000_000

BASE_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:app:/home/app:/bin/sh\n"
    "svc:x:1005:1006::/:/bin/false\n",
    "etc/group": "root:x:0:\napp:x:1001:\nsvc:x:1006:\nextra:x:2000:app\nstaff:x:50:app,svc\n",
    "srv/one": "1\n",
    "srv/sub/two": "2\n",
    "srv/sub/three.txt": "3\n",
}
_FOLDERS = {
    "dev": 0o755,
    "proc": 0o555,
    "sys": 0o555,
    "tmp": 0o1777,
    "root": 0o700,
    "home/app": 0o755,
    "var/lib/data": 0o750,
}
_LINKS = {"srv/link": "sub", "srv/flink": "sub/two", "abs": "/srv/sub", "srv/dead": "nowhere"}

IMAGES: dict[str, dict[str, Any]] = {
    "base": {"Env": ["PATH=/bin"], "Cmd": ["sh"]},
    "full": {
        "Env": ["PATH=/bin:/opt/bin", "MODE=base", "EMPTY="],
        "Entrypoint": ["/bin/sh", "-c"],
        "Cmd": ["echo full"],
        "WorkingDir": "/srv",
        "User": "app",
        "Labels": {"made.by": "base", "keep": "yes"},
        "ExposedPorts": {"80/tcp": {}},
        "Volumes": {"/data": {}},
        "StopSignal": "SIGQUIT",
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5_000_000_000},
        "Shell": ["/bin/sh", "-ec"],
    },
    "triggers": {
        "Env": ["PATH=/bin"],
        "OnBuild": ["ARG WHO=nobody", "COPY in.txt /in.txt", "RUN echo $WHO > /who"],
    },
    "user": {"Env": ["PATH=/bin"], "User": "1000:50", "WorkingDir": "/home/app"},
}


class Entry(NamedTuple):
    """The state of a path, as text."""

    text: str
    is_folder: bool


Tree = dict[str, Entry]


def make_bases(folder: Path) -> Tree:
    """An OCI layout with the images, each under its own tag. Returns their content."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        _fill(tar)
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    raw = layer.getvalue()
    packed = gzip.compress(raw, 1, mtime=0)
    packed_entry = _blob(blobs, packed, "application/vnd.oci.image.layer.v1.tar+gzip")
    manifests = []
    for name, settings in IMAGES.items():
        config = {
            "architecture": "amd64" if os.uname().machine == "x86_64" else "arm64",
            "os": "linux",
            "created": "2005-01-01T00:00:00Z",
            "config": settings,
            "rootfs": {"type": "layers", "diff_ids": [_digest(raw)]},
            "history": [{"created": "2005-01-01T00:00:00Z", "created_by": "base"}],
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _blob(
                blobs, json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"
            ),
            "layers": [packed_entry],
        }
        entry = _blob(blobs, json.dumps(manifest).encode(), _MANIFEST)
        entry["annotations"] = {"org.opencontainers.image.ref.name": name}
        manifests.append(entry)
    index = {"schemaVersion": 2, "manifests": manifests}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    tree: Tree = {}
    _apply(tree, raw)
    return tree


def _fill(tar: tarfile.TarFile) -> None:
    made: set[str] = set()

    def add(name: str, kind: bytes, mode: int, data: bytes = b"", link: str = "") -> None:
        parent = os.path.dirname(name)
        if parent and parent not in made:
            add(parent, tarfile.DIRTYPE, _FOLDERS.get(parent, 0o755))
        made.add(name)
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.linkname, info.mtime = kind, mode, link, _TIME
        info.size = len(data)
        if name == "home/app":
            info.uid, info.gid = 1000, 1001
        tar.addfile(info, io.BytesIO(data))

    with open("/bin/busybox", "rb") as busybox:
        add("bin/busybox", tarfile.REGTYPE, 0o755, busybox.read())
    for applet in _APPLETS:
        add(f"bin/{applet}", tarfile.SYMTYPE, 0o777, link="busybox")
    for name, text in BASE_FILES.items():
        add(name, tarfile.REGTYPE, 0o644, text.encode())
    for name, mode in _FOLDERS.items():
        add(name, tarfile.DIRTYPE, mode)
    for name, target in _LINKS.items():
        add(name, tarfile.SYMTYPE, 0o777, link=target)


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _blob(blobs: Path, data: bytes, media_type: str) -> dict[str, Any]:
    digest = _digest(data)
    (blobs / digest.removeprefix("sha256:")).write_bytes(data)
    return {"mediaType": media_type, "digest": digest, "size": len(data)}


class Built(NamedTuple):
    """A result in the format of a case."""

    tree: list[str]
    config: str
    history: list[str]


def read_built(layout: Path, base: Tree) -> Built:
    """Read the only image of an OCI layout, as differences from the base (or from nothing)."""
    manifest = _document(layout, json.loads((layout / "index.json").read_bytes())["manifests"][0])
    config = _document(layout, manifest["config"])
    history = config.pop("history", None) or []
    # Go writes an empty list as null.
    layers = manifest["layers"] or []
    on_base = bool(history) and history[0]["created_by"] == "base"
    tree = dict(base) if on_base else {}
    for layer in layers[int(on_base) :]:
        data = (layout / _path(layer)).read_bytes()
        _apply(tree, gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    assert len(config.pop("rootfs")["diff_ids"] or ()) == len(layers)
    made = sum(not entry.get("empty_layer") for entry in history)
    assert made == len(layers), "history and layers differ"
    before: Tree = base if on_base else {}
    lines = [f"{p} {e.text}" for p, e in tree.items() if before.get(p) != e]
    lines += [f"{path} gone" for path in before if path not in tree]
    for key in ("created", "architecture", "os"):
        config.pop(key, None)
    settings = config.pop("config", {})
    shown = json.dumps({**settings, **config}, indent=1, sort_keys=True, ensure_ascii=False)
    steps = []
    for entry in history[int(on_base) :]:
        text = json.dumps(entry.get("created_by", ""), ensure_ascii=False)[1:-1]
        comment = entry.get("comment", "none")
        by = "" if comment == "buildkit.dockerfile.v0" else f" ({comment})"
        steps.append(f"{'-' if entry.get('empty_layer') else '+'} {text}{by}")
    return Built(sorted(lines), shown, steps)


def _path(entry: dict[str, Any]) -> str:
    digest: str = entry["digest"]
    return "blobs/" + digest.replace(":", "/")


def _document(layout: Path, entry: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((layout / _path(entry)).read_bytes())
    return document


def _apply(tree: Tree, raw: bytes) -> None:
    """Apply one layer to a tree."""
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        members = [(("/" + m.name.removeprefix("./").strip("/")), m) for m in tar]
        for path, _ in members:
            folder, name = os.path.split(path)
            if name == ".wh..wh..opq":
                _remove(tree, folder, itself=False)
            elif name.startswith(".wh."):
                _remove(tree, os.path.join(folder, name[4:]), itself=True)
        for path, member in members:
            if path in ("/", "/."):
                continue
            if os.path.basename(path).startswith(".wh."):
                continue
            entry = _entry(tar, tree, member)
            if path in tree and tree[path].is_folder and not entry.is_folder:
                _remove(tree, path, itself=True)
            tree[path] = entry


def _remove(tree: Tree, path: str, *, itself: bool) -> None:
    if itself:
        tree.pop(path, None)
    for below in [p for p in tree if p.startswith(path.rstrip("/") + "/")]:
        del tree[below]


def _entry(tar: tarfile.TarFile, tree: Tree, member: tarfile.TarInfo) -> Entry:
    if member.islnk():
        return tree["/" + member.linkname.removeprefix("./").strip("/")]
    kinds = {tarfile.DIRTYPE: "dir", tarfile.SYMTYPE: "link", tarfile.FIFOTYPE: "fifo"}
    kind = "file" if member.isreg() else kinds.get(member.type, f"type-{member.type!r}")
    words = [kind, f"{member.mode & 0o7777:o}", f"{member.uid}:{member.gid}"]
    if kind == "file":
        opened = tar.extractfile(member)
        assert opened is not None
        data = opened.read()
        try:
            text = json.dumps(data.decode(), ensure_ascii=False)
        except ValueError:
            text = ""
        if len(data) > _LONG or not text:
            text = f"{len(data)} {_digest(data)}"
        words.append(text)
    elif kind == "link":
        words.append(f"-> {member.linkname}")
    if member.mtime < _OLD and kind != "dir":
        words.append(f"@{int(member.mtime)}")
    words += (
        f"{key.removeprefix('SCHILY.xattr.')}={value!r}"
        for key, value in sorted(member.pax_headers.items())
        if key.startswith("SCHILY.xattr.")
    )
    return Entry(" ".join(words), kind == "dir")
