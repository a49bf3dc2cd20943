"""Campaign `pairs`: every pair of options is built together once.

A round is one case of a covering array. Its outputs are read with skopeo and umoci and must have
the tree and the configuration of the Dockerfile.
"""

from __future__ import annotations

import os
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.campaigns.outcomes import sane
from tests.campaigns.pair_bench import BOTH, Bench, committed, open_bench, packed
from tests.campaigns.pair_reading import Result, check_files, check_images
from tests.campaigns.pairwise import covering
from tests.campaigns.runner import Campaign
from tests.commands import Done, Lamina

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.campaigns.pairwise import Case
    from tests.campaigns.runner import Round

EPOCH = 1_500_000_000
PARAMETERS = {
    "door": ("embedded", "daemon"),
    "base": ("scratch", "registry", "layout", "store", "stage"),
    "context": ("folder", "git", "stdin", "http", "named"),
    "output": ("image", "oci", "layout", "docker", "tar", "local", "push", "cacheonly"),
    "compression": ("", "gzip", "zstd", "uncompressed", "zstd,force-compression=true"),
    "cache": ("", "local min", "local max", "registry max", "registry mounts", "inline"),
    "attest": ("", "min", "max"),
    "platforms": ("one", "two"),
    "epoch": ("", "set", "rewrite"),
}
_IMAGES = ("image", "oci", "layout", "docker", "push")
_WORK = """FROM --platform=$BUILDPLATFORM tools AS work
ARG TARGETARCH
RUN --mount=type=cache,target=/c,id=pairs mkdir -p /out && echo "for $TARGETARCH" > /out/arch && \\
    chmod 640 /out/arch && ln -s arch /out/link && cp /out/arch /c/$TARGETARCH
"""
_MADE = """ENV WHERE=here
LABEL made=pairs
COPY {files} hello.txt /made/
COPY {files} --chown=12:34 --chmod=750 sub /made/sub
COPY --from=work /out /made/out
WORKDIR /made
CMD ["x"]
"""


def parameters() -> dict[str, tuple[str, ...]]:
    """The parameters, with BuildKit among the builders if it is available."""
    buildkit = ("buildkitd",) if {"BUILDKITD", "BUILDCTL"} <= set(os.environ) else ()
    return {**PARAMETERS, "door": (*PARAMETERS["door"], *buildkit)}


def allowed(case: Case) -> bool:
    """Whether the options of a case can be combined, by BuildKit's rules."""
    output = case.get("output", "oci")
    refused = (
        case.get("base") == "store" and case.get("door", "embedded") != "embedded",
        output == "docker" and case.get("platforms") == "two",
        output == "docker" and bool(case.get("attest")),
        bool(case.get("compression")) and output not in _IMAGES,
        case.get("cache") == "inline" and output not in _IMAGES,
        case.get("epoch") == "rewrite" and output not in _IMAGES,
        case.get("door") == "buildkitd" and output == "image",
        case.get("door") == "buildkitd" and case.get("cache") == "registry mounts",
    )
    return not any(refused)


class _Running:
    """One running case."""

    def __init__(self, bench: Bench, case: Case, now: Round) -> None:
        self._bench = bench
        self._case = case
        self._now = now
        self._name = f"{bench.registry}/pairs/r{now.number}:1"
        self._out = now.folder / "out"
        self._files = now.folder / "files"
        self._embedded = Lamina(now.folder / "store")
        self._stdin = b""

    def run(self) -> None:
        self._write_files()
        if self._case["base"] == "store":
            self._embedded.build(self._bench.base_folder(), *self._bench.base_flags("store"))
        place = self._place()
        doors: dict[str, Lamina] = {"embedded": self._embedded, **self._bench.doors}
        door = doors[self._case["door"]]
        self._build(door, *self._output_flags(), *self._cache_flags(), *place)
        self._check()
        if self._case["cache"]:
            self._check_cache(place)

    def _build(self, door: Lamina, *args: str) -> Done:
        flags = ["--progress=plain"]
        layouts = {"tools": f"{self._bench.tools}:base"}
        if self._case["base"] == "layout":
            layouts["base"] = f"{self._bench.layout}:1"
        for name, value in layouts.items():
            flags += ["--build-context", f"{name}=oci-layout://{value}"]
        if self._case["context"] == "named":
            flags += ["--build-context", f"files={self._files}"]
        flags += [f"--platform={BOTH}"] if self._two else []
        flags += [f"--build-arg=SOURCE_DATE_EPOCH={EPOCH}"] if self._case["epoch"] else []
        attest = self._case["attest"]
        flags += [f"--provenance={f'mode={attest}' if attest else 'false'}"]
        self._now.counts["builds"] += 1
        done = sane(door("build", *flags, *args, stdin=self._stdin))
        with (self._now.folder / "log").open("a") as log:
            log.write(done.err)
        assert done.code == 0, done.err
        assert "WARN" not in done.err, done.err  # a cache that is not written, for example
        return done

    @property
    def _two(self) -> bool:
        return self._case["platforms"] == "two"

    @property
    def _sure_of_packing(self) -> bool:
        fresh = self._case["door"] == "embedded" and self._case["base"] == "scratch"
        return fresh or "force" in self._case["compression"]

    def _write_files(self) -> None:
        files = "--from=files" if self._case["context"] == "named" else ""
        base = {
            "scratch": "FROM scratch\n",
            "registry": f"FROM {self._bench.registry}/pairs/base:1\n",
            "layout": "FROM base\n",
            "store": "FROM pairs-base\n",
            "stage": f"FROM scratch AS under\nCOPY {files} base /base/file\nFROM under\n",
        }[self._case["base"]]
        (self._files / "sub").mkdir(parents=True)
        (self._files / "hello.txt").write_text("hello\n")
        (self._files / "base").write_text("base\n")
        (self._files / "sub/x").write_text("x" * 5000)
        (self._files / "Dockerfile").write_text(_WORK + base + _MADE.format(files=files))

    def _place(self) -> list[str]:
        """The argument of the command line for the context."""
        name = f"case{self._now.number}"
        match self._case["context"]:
            case "git":
                committed(self._files, self._bench.served / name)
                return [f"{self._bench.git}/{name}"]
            case "stdin":
                self._stdin = packed(self._files)
                return ["-"]
            case "http":
                (self._bench.served / f"{name}.tar").write_bytes(packed(self._files))
                return [f"{self._bench.web}/{name}.tar"]
            case "named":
                empty = self._now.folder / "empty"
                empty.mkdir()
                return ["-f", str(self._files / "Dockerfile"), str(empty)]
            case _:
                return [str(self._files)]

    def _output_flags(self) -> list[str]:
        kind = self._case["output"]
        attributes = {
            "image": f"type=image,name={self._name}",
            "push": f"type=image,name={self._name},push=true",
            "layout": f"type=oci,dest={self._out},tar=false,name=x:1",
            "oci": f"type=oci,dest={self._out},name=x:1",
            "docker": f"type=docker,dest={self._out},name=x:1",
            "cacheonly": "type=cacheonly",
        }.get(kind, f"type={kind},dest={self._out}")
        if self._case["compression"]:
            attributes += f",compression={self._case['compression']}"
        if self._case["epoch"] == "rewrite":
            attributes += ",rewrite-timestamp=true"
        return ["-o", attributes]

    def _cache(self) -> str:
        kind = self._case["cache"].split(" ")[0]
        place = f"{self._bench.registry}/pairs/r{self._now.number}:cache"
        folder = self._now.folder / "cache"
        return {
            "local": f"type=local,dest={folder}",
            "registry": f"type=registry,ref={place}",
            "inline": "type=inline",
        }[kind]

    def _cache_flags(self) -> list[str]:
        if not self._case["cache"]:
            return []
        more = {"max": ",mode=max", "mounts": ",mode=max,mounts=true"}
        return ["--cache-to", self._cache() + more.get(self._case["cache"].split(" ")[-1], "")]

    def _check(self) -> None:
        """Check the outputs against the Dockerfile."""
        kind = self._case["output"]
        if kind == "image":
            root = self._bench.daemon_root if self._case["door"] == "daemon" else None
            store = Lamina(root) if root else self._embedded
            done = sane(store("push", self._name))
            assert done.code == 0, done.err
        wanted = Result(
            based=self._case["base"] != "scratch",
            architectures=("amd64", "arm64") if self._two else ("amd64",),
            attested=bool(self._case["attest"]),
            # Layers that are already packed stay as they are, unless recompression is forced.
            compression=self._case["compression"] if self._sure_of_packing else "",
            epoch=EPOCH if self._case["epoch"] else None,
            rewritten=self._case["epoch"] == "rewrite",
        )
        places = {
            "image": f"docker://{self._name}",
            "push": f"docker://{self._name}",
            "layout": f"oci:{self._out}:1",
            "oci": f"oci-archive:{self._out}:1",
            "docker": f"docker-archive:{self._out}",
        }
        if kind in places:
            check_images(places[kind], wanted, self._now.folder)
        elif kind != "cacheonly":
            check_files(self._out, wanted, self._now.folder)

    def _check_cache(self, place: list[str]) -> None:
        """Check that an empty store finds the steps in the cache, with the same result."""
        source = self._cache().replace("dest=", "src=")
        if self._case["cache"] == "inline":
            if self._case["output"] not in ("push", "image"):
                return
            source = f"type=registry,ref={self._name}"
        other = Lamina(self._now.folder / "other")
        if self._case["base"] == "store":
            other.build(self._bench.base_folder(), *self._bench.base_flags("store"))
        self._out = self._now.folder / "again"
        self._case = {**self._case, "output": "layout", "door": "embedded", "compression": ""}
        self._case["epoch"] = self._case["epoch"] and "set"
        done = self._build(other, *self._output_flags(), "--cache-from", source, *place)
        assert " CACHED" in done.err, f"nothing is found in {source}: {done.err}"
        self._check()
        self._now.counts["caches read"] += 1


@contextmanager
def _open(folder: Path, seed: int) -> Iterator[Callable[[Round], None]]:
    """Rounds use one covering array after the other, each drawn again."""
    sets: dict[int, list[Case]] = {}

    def case_of(number: int) -> Case:
        at = 0
        while True:
            if at not in sets:
                sets[at] = covering(parameters(), allowed, random.Random(f"pairs {seed} {at}"))
            if number < len(sets[at]):
                return sets[at][number]
            number -= len(sets[at])
            at += 1

    with open_bench(folder) as bench:

        def play(now: Round) -> None:
            case = case_of(now.number)
            (now.folder / "case").write_text("".join(f"{k}: {v}\n" for k, v in case.items()))
            try:
                _Running(bench, case, now).run()
            except AssertionError as error:
                raise AssertionError(f"{case}\n{error}") from error

        yield play


def campaign() -> Campaign:
    return Campaign(_open)
