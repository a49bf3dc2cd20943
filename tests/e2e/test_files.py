"""Metadata in layers, and the rules of COPY and ADD, on overlay and on whole trees."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Lamina


@pytest.fixture(params=["overlay", "native"])
def store(request: pytest.FixtureRequest, lamina: Lamina, tmp_path: Path) -> Lamina:
    """A store with either snapshotter. The native one is selected at the first use of a store."""
    if request.param == "native":
        kind = lamina.root / "snapshots" / ".kind"
        kind.parent.mkdir(parents=True)
        kind.write_text("native")
    return lamina


def unpacked(store: Lamina, folder: Path, tmp_path: Path) -> Path:
    """Build, and unpack the image with a third-party tool."""
    layout = tmp_path / "layout"
    store.build(folder, "-o", f"type=oci,dest={layout},tar=false,name=x:1")
    bundle = tmp_path / "bundle"
    command = ["umoci", "unpack", "--image", f"{layout}:1", str(bundle)]
    subprocess.run(command, check=True, capture_output=True)
    return bundle / "rootfs"


def test_everything_that_a_file_may_be_survives(
    store: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context(
        "FROM base\n"
        "RUN mkdir -p /d/keep /d/gone /o && echo 1 > /d/keep/f && echo 2 > /d/gone/f && "
        "echo old > /o/old && ln -s keep /d/link\n"
        "RUN rm -r /d/gone && rm -r /o && mkdir /o && echo new > /o/new && "
        "echo x > /a && ln /a /b && mkfifo /pipe && mknod /dev9 c 7 9 && "
        "chmod 4755 /a && chmod 1777 /o && chown 12:34 /o/new && "
        "dd if=/dev/zero of=/sparse bs=1 count=1 seek=10000000 2>/dev/null && "
        "touch -d '2001-02-03 04:05:06' /o/new\n"
        "RUN echo more >> /d/keep/f && rm /d/link && mkdir /d/link && echo 3 > /d/link/x\n"
    )
    root = unpacked(store, folder, tmp_path)
    assert not (root / "d/gone").exists()
    assert sorted(os.listdir(root / "o")) == ["new"]
    assert (root / "d/keep/f").read_text() == "1\nmore\n"
    assert (root / "d/link/x").read_text() == "3\n"
    assert not (root / "d/link").is_symlink()
    status = (root / "a").stat()
    assert status.st_mode & 0o7777 == 0o4755
    assert (status.st_nlink, status.st_ino) == (2, (root / "b").stat().st_ino)
    assert (root / "o").stat().st_mode & 0o7777 == 0o1777
    new = (root / "o/new").stat()
    assert (new.st_uid, new.st_gid, new.st_mtime) == (12, 34, 981173106.0)
    assert (root / "sparse").stat().st_size == 10_000_001
    device = (root / "dev9").stat()
    assert (os.major(device.st_rdev), os.minor(device.st_rdev)) == (7, 9)
    assert (root / "pipe").is_fifo()


def test_a_step_that_changes_nothing_makes_an_empty_layer(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    layout = tmp_path / "layout"
    folder = context("FROM base\nRUN mkdir -p /etc/sub && touch /etc/file\nRUN true\n")
    lamina.build(folder, "-o", f"type=oci,dest={layout},tar=false,compression=uncompressed")
    index = json.loads((layout / "index.json").read_bytes())
    blobs = layout / "blobs/sha256"
    manifest = json.loads((blobs / index["manifests"][0]["digest"][7:]).read_bytes())
    with tarfile.open(blobs / manifest["layers"][-1]["digest"][7:]) as archive:
        # Although files in /etc were mounted over with names and addresses while it ran.
        assert archive.getnames() == []


def test_copy_link_and_merge(store: Lamina, context: Callable[..., Path], tmp_path: Path) -> None:
    folder = context(
        "FROM base AS a\nRUN mkdir /x && echo a > /x/a && echo a > /x/both\n"
        "FROM base\nRUN mkdir /y && echo y > /y/y\n"
        "COPY --link --from=a /x /x\nCOPY --link b /x/both\nRUN cat /x/a /x/both > /all\n",
        {"b": "b\n"},
    )
    root = unpacked(store, folder, tmp_path)
    assert (root / "all").read_text() == "a\nb\n"
    assert (root / "y/y").read_text() == "y\n"


def test_a_linked_copy_is_the_same_layer_on_another_base(
    store: Lamina, context: Callable[..., Path]
) -> None:
    text = "FROM base\nRUN echo {0} > /{0}\nCOPY --link big /big\n"
    last = []
    for name in ("one", "two"):
        store.build(context(text.format(name), {"big": "content"}), "-t", "x")
        document = json.loads(store("inspect", "x").out)
        document = document[0] if isinstance(document, list) else document
        last.append(document["manifest"]["layers"][-1])
    assert last[0] == last[1]


def test_add_unpacks_archives_and_fetches(
    store: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "7")
            self.send_header("Last-Modified", "Sat, 03 Feb 2001 04:05:06 GMT")
            self.end_headers()
            self.wfile.write(b"fetched")

        def log_message(self, format: str, *args: object) -> None:
            return

    folder = context("")
    modes: dict[str, Literal["w", "w:gz", "w:xz", "w:bz2"]] = {
        "a.tar": "w",
        "b.tgz": "w:gz",
        "c.tar.xz": "w:xz",
        "d.tbz": "w:bz2",
    }
    for name, mode in modes.items():
        with tarfile.open(folder / name, mode) as archive:
            archive.add(folder / "busybox", f"from-{name}")
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/dir/name"
        text = f"FROM base\nADD *.t* /un/\nADD {url} /url/\nADD --chmod=700 {url} /file\n"
        root = unpacked(store, context(text), tmp_path)
        server.shutdown()
    assert {path.name for path in (root / "un").iterdir()} == {
        "from-a.tar", "from-b.tgz", "from-c.tar.xz", "from-d.tbz",
    }  # fmt: skip
    assert (root / "url/name").read_text() == "fetched"
    assert (root / "url/name").stat().st_mode & 0o777 == 0o600
    assert (root / "url/name").stat().st_mtime == 981173106.0
    assert (root / "file").stat().st_mode & 0o777 == 0o700


def test_a_url_is_downloaded_again_only_if_it_changed(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    answers: list[int] = []
    content = [b"one"]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            tag = f'"{content[0].decode()}"'
            same = self.headers.get("If-None-Match") == tag
            answers.append(304 if same else 200)
            self.send_response(answers[-1])
            self.send_header("ETag", tag)
            self.send_header("Content-Length", "0" if same else str(len(content[0])))
            self.end_headers()
            self.wfile.write(b"" if same else content[0])

        def log_message(self, format: str, *args: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/f"
        folder = context(f"FROM base\nADD {url} /f\nRUN cat /f > /copy\n")
        lamina.build(folder, "-t", "x")
        assert "CACHED" in lamina.build(folder, "-t", "x")
        content[0] = b"two"
        lamina.build(folder, "-t", "x")
        assert answers == [200, 304, 200]
        assert lamina("run", "x", "cat", "/copy").out == "two"
        # Content of the store is checked before it is used.
        for kept in (lamina.root / "http").glob("*-*"):
            kept.write_bytes(b"bad")
        lamina.build(folder, "--no-cache", "-t", "x")
        assert lamina("run", "x", "cat", "/copy").out == "two"
        assert "source.http" in lamina("du", "--verbose").out
        assert lamina("prune", "-f", "--filter", "type=source.http").code == 0
        assert list((lamina.root / "http").iterdir()) == []
        sum_of = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"
        checked = context(f"FROM base\nADD --checksum=sha256:{sum_of} {url} /f\n")
        lamina.build(checked)
        server.shutdown()
    lamina.build(checked, "--no-cache")  # no client needs to be asked
    failed = lamina("build", str(context(f"FROM base\nADD {url} /g\n")))
    assert failed.code == 1
    assert url in failed.err


def test_copy_forms(store: Lamina, context: Callable[..., Path], tmp_path: Path) -> None:
    files = {f"src/{name}": name for name in ("a/x.go", "a/y.txt", "b/x.go", "b/deep/z.go")}
    folder = context(
        "FROM base\n"
        "COPY --parents src/**/*.go /parents/\n"
        "COPY --parents ./src/./a/*.txt /pivot/\n"
        "COPY --exclude=**/*.go --exclude=b/deep src /excluded/\n"
        "COPY --chmod=u=rwX,go=rX --chown=7:8 src/a /modes/\n"
        "COPY src/a/x.go src/a/y.txt /two/\n"
        "COPY src/?/x.g[n-p] /wild/\n",
        files,
    )
    root = unpacked(store, folder, tmp_path)

    def found(top: str) -> list[str]:
        files = (p for p in (root / top).rglob("*") if p.is_file())
        return sorted(str(p.relative_to(root / top)) for p in files)

    assert found("parents") == ["src/a/x.go", "src/b/deep/z.go", "src/b/x.go"]
    assert found("pivot") == ["a/y.txt"]
    assert found("excluded") == ["a/y.txt"]
    assert found("two") == ["x.go", "y.txt"]
    assert found("wild") == ["x.go"]
    status = (root / "modes/x.go").stat()
    assert (status.st_mode & 0o777, status.st_uid, status.st_gid) == (0o644, 7, 8)
    assert (root / "modes").stat().st_mode & 0o777 == 0o755


def test_extended_attributes(store: Lamina, context: Callable[..., Path], tmp_path: Path) -> None:
    folder = context("FROM base\nCOPY capable /capable\nRUN cp /capable /other\n", {"capable": "x"})
    subprocess.run(["setcap", "cap_net_raw+ep", str(folder / "capable")], check=True)
    os.setxattr(folder / "capable", "user.colour", b"red")
    root = unpacked(store, folder, tmp_path)
    assert "security.capability" in os.listxattr(root / "capable")
    assert os.getxattr(root / "capable", "user.colour") == b"red"


def test_mount_combinations(store: Lamina, context: Callable[..., Path], tmp_path: Path) -> None:
    folder = context(
        "FROM base AS seed\nRUN mkdir /s && echo seed > /s/f\n"
        "FROM base\n"
        "RUN --mount=type=cache,target=/c,from=seed,source=/s "
        "--mount=type=bind,from=seed,source=/s,target=/b,rw "
        "--mount=type=tmpfs,target=/t,size=65536 "
        "cat /c/f > /got; echo changed > /b/f; cat /b/f >> /got; "
        "df -k /t | tail -1 | tr -s ' ' | cut -d' ' -f2 >> /got; touch /t/x\n"
        "RUN --mount=type=bind,from=seed,source=/s,target=/b cat /b/f >> /got; "
        "! touch /b/no 2>/dev/null && echo readonly >> /got\n"
    )
    root = unpacked(store, folder, tmp_path)
    assert (root / "got").read_text().splitlines() == [
        "seed", "changed", "64", "seed", "readonly",
    ]  # fmt: skip
    # Mount points that were created for the mounts are removed.
    assert not {"b", "c", "t"} & set(os.listdir(root))


def test_on_build_and_health(lamina: Lamina, context: Callable[..., Path]) -> None:
    parent = context("FROM base\nONBUILD RUN echo triggered > /t\nONBUILD ENV T=1\n")
    lamina.build(parent, "-t", "parent")
    child = context(
        "FROM parent\nHEALTHCHECK --interval=5s --start-interval=100ms CMD true\n"
        'STOPSIGNAL SIGINT\nEXPOSE 80 53/udp\nVOLUME /data\nSHELL ["/bin/sh", "-ec"]\n'
        "MAINTAINER me\n"
    )
    lamina.build(child, "-t", "child")
    assert lamina("run", "child", "sh", "-c", "cat /t; echo $T").out == "triggered\n1\n"
    document = json.loads(lamina("inspect", "child").out)
    document = document[0] if isinstance(document, list) else document
    config = document["config"]["config"]
    assert "OnBuild" not in config
    assert config["Healthcheck"] == {
        "Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000, "StartInterval": 100_000_000,
    }  # fmt: skip
    assert config["StopSignal"] == "SIGINT"
    assert sorted(config["ExposedPorts"]) == ["53/udp", "80/tcp"]
    assert list(config["Volumes"]) == ["/data"]
    assert config["Shell"] == ["/bin/sh", "-ec"]


def test_overlay_on_overlay_falls_back_with_a_warning(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    """An overlay's upper side may not be an overlay itself, as in many containers."""
    folders = [tmp_path / name for name in ("lower", "upper", "work", "merged")]
    for folder in folders:
        folder.mkdir()
    lower, upper, work, merged = folders
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "o", "-o", options, str(merged)], check=True)
    try:
        store = type(lamina)(merged / "store")
        folder = context("FROM base\nRUN echo x > /x && rm /bin/ls\n")
        log = store.build(folder, "-t", "x")
        assert "overlayfs cannot mount" in log
        assert store("run", "x", "cat", "/x").out == "x\n"
        assert "CACHED" in store.build(folder, "-t", "x")
    finally:
        subprocess.run(["umount", str(merged)], check=True)


def test_folders_that_an_archive_only_implies_are_the_image_s(
    store: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    import io

    folder = context("")
    with tarfile.open(folder / "a.tar", "w") as archive:
        for name in ("var/run/x/file", "tmp/new/file", "plain/file"):
            info = tarfile.TarInfo(name)
            info.size = 1
            archive.addfile(info, io.BytesIO(b"x"))
        link = tarfile.TarInfo("var/run/x/hard")
        link.type, link.linkname = tarfile.LNKTYPE, "var/run/x/file"
        archive.addfile(link)
    with tarfile.open(folder / "b.tar", "w") as archive:
        described = tarfile.TarInfo("var/other")
        described.type, described.mode = tarfile.DIRTYPE, 0o700
        archive.addfile(described)
    text = (
        "FROM base\nRUN mkdir -p -m 1777 /run /tmp /var && ln -s /run /var/run "
        "&& ln -s /run /var/other\nADD a.tar /\nADD b.tar /\n"
    )
    root = unpacked(store, context(text), tmp_path)
    assert os.readlink(root / "var/run") == "/run"
    assert (root / "run/x/file").stat().st_ino == (root / "run/x/hard").stat().st_ino
    assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777
    assert (root / "tmp/new/file").read_text() == "x"
    assert not (root / "var/other").is_symlink()
    assert (root / "var/other").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", ["", ",mode=0773"])
def test_without_the_build_cache_mounts_begin_empty(
    store: Lamina, context: Callable[..., Path], mode: str
) -> None:
    folder = context(
        f"FROM base AS a\nARG N\nRUN --mount=type=cache,target=/c{mode} touch /c/$N\n"
        f"FROM a\nRUN --mount=type=cache,target=/c{mode} echo seen $(ls /c)\n"
        "RUN --mount=type=cache,id=other,target=/c touch /c/$N && echo other $(ls /c)\n"
    )
    for number, arguments, seen in (
        (1, (), "1"),
        (2, (), "1 2"),
        (3, ("--no-cache",), "3"),
        (4, ("--no-cache-filter=a",), "4"),
        (5, (), "4 5"),
    ):
        log = store.build(folder, "--build-arg", f"N={number}", *arguments)
        assert f"seen {seen}\n" in log
    assert "other 3 4 5\n" in log
