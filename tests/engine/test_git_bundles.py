"""Git bundles: made from real repositories, stored as blobs, and read instead of the remote."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from lamina.base.digest import digest_of
from lamina.base.errors import LaminaError
from tests.engine.source_bench import ServedRequest, entries, source
from tests.real_registry import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lamina.llb.op import Definition
    from tests.engine.conftest import Bench

    WithEngine = Callable[[Callable[[Bench], Any]], Any]


def git(folder: Path, *arguments: str) -> str:
    identity = {
        f"GIT_{who}_{what}": "x@y" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        env={**os.environ, **identity},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def make_repository(folder: Path, kind: str = "sha1") -> None:
    """Three commits of a file `f`; the second one is tagged `v2`, with a message."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main", f"--object-format={kind}")
    for text in ("one", "two", "three"):
        (folder / "f").write_text(text)
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", text)
        if text == "two":
            git(folder, "tag", "-a", "v2", "-m", "two")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """A `git daemon` for the files in `served`, which supports shallow clones."""
    port = free_port()
    (tmp_path / "served").mkdir()
    place = ["--listen=127.0.0.1", f"--port={port}", f"--base-path={tmp_path}/served"]
    log = tmp_path / "log"
    with log.open("wb") as output:
        daemon = subprocess.Popen(
            ["git", "daemon", "--export-all", "--verbose", *place], stderr=output
        )
    try:
        deadline = time.monotonic() + 20
        while b"Ready to rumble" not in log.read_bytes():
            assert time.monotonic() < deadline
            assert daemon.poll() is None
            time.sleep(0.02)
        yield f"git://127.0.0.1:{port}"
    finally:
        daemon.terminate()  # if the wrapper is killed, the daemon still runs
        daemon.wait()


def bundle_of(bench: Bench, definition: Definition, session: ServedRequest | None = None) -> bytes:
    session = session or ServedRequest()
    with bench.build() as build:
        build.session = session
        tree = bench.engine.refs.tree(build.solvable(definition).ref(), build.cancel)
        ((path, status),) = tree.children("")
        assert (path, status.st_mode & 0o777) == ("bundle", 0o666)
        with open(tree.real(path), "rb") as file:
            return file.read()


def listed(folder: Path, bundle: bytes, kind: str = "sha1") -> list[str]:
    """The refs of a bundle, after checking that a repository accepts it."""
    (folder / "bundle").write_bytes(bundle)
    git(folder, "init", "-q", "--bare", f"--object-format={kind}", "taken")
    git(folder / "taken", "fetch", "-q", str(folder / "bundle"), "+refs/*:refs/*")
    git(folder / "taken", "fsck", "--strict")
    return [line.split()[1] for line in git(folder / "taken", "show-ref").splitlines()]


@pytest.mark.parametrize(
    ("ref", "named", "commits"),
    [
        ("", "refs/heads/main", 3),
        ("#main", "refs/heads/main", 3),
        ("#refs/heads/main", "refs/heads/main", 3),
        ("#v2", "refs/tags/v2", 2),
        ("#{head}", "refs/heads/main", 3),
        ("#{tag}", "refs/heads/main", 2),
    ],
)
def test_a_bundle_has_the_whole_history(
    with_engine: WithEngine, served: str, tmp_path: Path, ref: str, named: str, commits: int
) -> None:
    repository = tmp_path / "served/x"
    make_repository(repository)
    head, tag = git(repository, "rev-parse", "main"), git(repository, "rev-parse", "v2")
    place = f"{served}/x{ref.format(head=head, tag=tag)}"

    def use(bench: Bench) -> tuple[bytes, Any]:
        made = bundle_of(bench, source(place, git_fullurl=f"{served}/x", git_checkoutbundle="true"))
        return made, entries(bench, ServedRequest(), source(place, git_fullurl=f"{served}/x"))

    made, files = with_engine(use)
    assert listed(tmp_path, made) == [named]
    assert git(tmp_path / "taken", "rev-list", "--count", named) == str(commits)
    assert files["f"][0] == {3: "three", 2: "two"}[commits]


@pytest.mark.parametrize("kind", ["sha1", "sha256"])
def test_a_bundle_replaces_its_remote(
    with_engine: WithEngine, served: str, tmp_path: Path, kind: str
) -> None:
    repository = tmp_path / "served/x"
    make_repository(repository, kind)
    git(repository, "bundle", "create", "-q", str(tmp_path / "all"), "--branches", "--tags")
    data = (tmp_path / "all").read_bytes()
    locator = f"oci-layout+blob://shop@{digest_of(data)}"
    head, two = git(repository, "rev-parse", "main"), git(repository, "rev-parse", "v2^{}")
    gone = f"git://127.0.0.1:{free_port()}/x"

    def files(bench: Bench, place: str, commit: str, **more: str) -> dict[str, Any]:
        attrs = {"git_fullurl": gone, "git_checksum": commit, "git_bundle": locator, **more}
        return entries(bench, ServedRequest(data), source(place, **attrs))

    def use(bench: Bench) -> None:
        for place, commit, text in (
            (f"{gone}#main", head, "three"),
            (f"{gone}#{head}", head, "three"),
            (gone, head, "three"),
            (gone, two[:9], "two"),
            (f"{gone}#v2", two, "two"),
            (f"{gone}#v2", git(repository, "rev-parse", "v2"), "two"),
        ):
            found = files(bench, place, commit)
            assert {path: entry[0] for path, entry in found.items()} == {"f": text}
        again = source(
            f"{gone}#v2",
            git_fullurl=gone,
            git_checksum=two,
            git_bundle=locator,
            git_checkoutbundle="true",
        )
        assert listed(tmp_path, bundle_of(bench, again, ServedRequest(data)), kind) == [
            "refs/tags/v2"
        ]

    with_engine(use)


def test_a_bundle_with_its_git_directory(with_engine: WithEngine, tmp_path: Path) -> None:
    make_repository(tmp_path / "x")
    git(tmp_path / "x", "bundle", "create", "-q", str(tmp_path / "all"), "main")
    data = (tmp_path / "all").read_bytes()
    attrs = {
        "git_fullurl": "https://u:p@example.invalid/x.git",
        "git_checksum": git(tmp_path / "x", "rev-parse", "main"),
        "git_bundle": f"oci-layout+blob://other/name@{digest_of(data)}",
        "oci_store": "shop",
        "git_keepgitdir": "true",
    }

    def use(bench: Bench) -> tuple[str, str]:
        with bench.build() as build:
            build.session = ServedRequest(data)
            made = build.solvable(source("git://example.invalid/x.git#main", **attrs)).ref()
            folder = tmp_path.__class__(bench.engine.refs.tree(made, build.cancel).root)
            return git(folder, "rev-parse", "refs/heads/main"), git(folder, "remote", "-v")

    commit, remote = with_engine(use)
    assert commit == attrs["git_checksum"]
    assert "https://example.invalid/x.git" in remote


def test_bundles_that_are_of_no_use(with_engine: WithEngine, tmp_path: Path) -> None:
    repository = tmp_path / "x"
    make_repository(repository)
    head, first = git(repository, "rev-parse", "main"), git(repository, "rev-parse", "main~2")
    git(repository, "bundle", "create", "-q", str(tmp_path / "part"), "main~2..main")
    git(repository, "branch", "old", "main~2")
    git(repository, "bundle", "create", "-q", str(tmp_path / "old"), "old")
    part, old = (tmp_path / "part").read_bytes(), (tmp_path / "old").read_bytes()
    elsewhere = f"gitdir: {repository}/.git".encode()  # minimum of a repository for git
    store = ServedRequest(part, old, elsewhere)
    own = f"oci-layout+blob://shop@{digest_of(old)}"

    def complaint(bench: Bench, place: str, locator: str, commit: str) -> str:
        attrs = {"git_checksum": commit, "git_bundle": locator}
        with pytest.raises(LaminaError) as caught:
            entries(bench, store, source(place, **attrs))
        return caught.value.reason

    def use(bench: Bench) -> None:
        for place, locator, commit, said in (
            ("#main", f"oci-layout+blob://shop@{digest_of(part)}", head, "prerequisite commits"),
            ("#main", f"oci-layout+blob://shop@{digest_of(elsewhere)}", head, "not a git bundle"),
            ("#main", own, head, "does not contain ref main"),
            ("#old", own, head, f"expected checksum to match {head}, got {first}"),
            ("", own, head, f"commit {head} not found in bundle"),
            ("", own, head[:8], f"commit {head[:8]} not found in bundle"),
            ("", own, "--help", "invalid checksum"),
            ("", "shop", head, "has no scheme"),
            ("", "https://shop", head, "not a scheme for blobs"),
            ("", "oci-layout+blob://shop:latest", head, "named by its digest"),
            ("", f"oci-layout+blob://shop@sha512:{'0' * 128}", head, "must be a sha256"),
        ):
            found = complaint(bench, f"git://example.invalid/x{place}", locator, commit)
            assert said in found, (place, locator, found)

    with_engine(use)
