"""Execs of API clients: several outputs, cache mounts at several paths."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

from lamina.cacheio.options import make_export
from lamina.engine.caching.build_caches import BuildCacheOptions
from lamina.engine.frontends.wire_result import read_result
from lamina.llb.op import (
    NO_INPUT,
    NO_OUTPUT,
    CacheOpt,
    CacheSharing,
    CopyAction,
    ExecMeta,
    ExecOp,
    FileAction,
    FileOp,
    Mount,
    MountType,
    Op,
    OpMetadata,
    SourceOp,
)
from lamina.llb.state import Edge, Vertex, marshal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.engine.conftest import Bench

    WithEngine = Callable[[Callable[[Bench], Any]], Any]

TOOLS = {"tools": "/bin"}


def tools() -> Edge:
    local = Vertex(Op(source=SourceOp("local://tools"))).output()
    copy = CopyAction("/busybox", "/busybox", mode=-1, timestamp=-1)
    return Vertex(Op(file=FileOp((FileAction(NO_INPUT, 0, 0, copy=copy),))), (local,)).output()


def run(script: str, *mounts: Mount, ignore_cache: bool = False) -> Vertex:
    """A shell script; output 0 is its root, unless the mounts say otherwise."""
    op = ExecOp(
        ExecMeta(("/busybox", "sh", "-e", "-c", script), cwd="/"),
        (Mount(0, dest="/", output=0), *mounts),
    )
    return Vertex(Op(exec=op), (tools(),), metadata=OpMetadata(ignore_cache=ignore_cache))


def cache(name: str, dest: str, sharing: CacheSharing = CacheSharing.LOCKED) -> Mount:
    return Mount(
        NO_INPUT,
        dest=dest,
        output=NO_OUTPUT,
        mount_type=MountType.CACHE,
        cache=CacheOpt(name, sharing),
    )


def tree_of(vertex: Vertex) -> Callable[[Bench], Any]:
    return lambda bench: bench.tree(marshal(vertex.output()), folders=TOOLS)


def test_one_cache_in_two_places_of_a_step(with_engine: WithEngine) -> None:
    script = "/busybox touch /one/file; /busybox test -e /two/file"
    for sharing in CacheSharing:
        mounts = cache("same", "/one", sharing), cache("same", "/two", CacheSharing.LOCKED)
        vertex = run(f"{script} # {sharing}", *mounts)
        assert "busybox" in with_engine(tree_of(vertex))


def test_a_step_that_ignores_the_cache_begins_its_cache_mounts_anew(
    with_engine: WithEngine,
) -> None:
    fill = run("/busybox touch /a/old /b/old", cache("a", "/a"), cache("b", "/b"))
    anew = run(
        "/busybox test ! -e /a/old; /busybox touch /a/new", cache("a", "/a"), ignore_cache=True
    )
    after = run(
        "/busybox test ! -e /a/old -a -e /a/new -a -e /b/old", cache("a", "/a"), cache("b", "/b")
    )
    with_engine(lambda bench: bench.tree(marshal(fill.output()), folders=TOOLS))
    with_engine(
        lambda bench: bench.tree(marshal(anew.output()), marshal(after.output()), folders=TOOLS)
    )


def test_the_second_output_alone_is_loaded_from_the_cache(with_engine: WithEngine) -> None:
    """This occurs with imported caches: a root that no step needs is not exported."""
    vertex = run(
        "/busybox cat /proc/sys/kernel/random/uuid > /out/unique",
        Mount(NO_INPUT, dest="/out", output=1),
    )

    def use(bench: Bench) -> Any:
        with bench.build(TOOLS) as build:
            ref = build.solvable(marshal(vertex.output(1))).ref()
            with open(
                os.path.join(bench.engine.refs.tree(ref, build.cancel).root, "unique")
            ) as file:
                text = file.read()
        with bench.engine.store.database.write() as connection:
            connection.execute(
                "DELETE FROM results WHERE output = 0 AND snapshot IN ("
                " SELECT id FROM snapshots WHERE description LIKE '%uuid%')"
            )
        return text

    first, second = with_engine(use), with_engine(use)
    assert first == second


def test_a_cache_holds_steps_whose_files_were_never_laid_out(
    with_engine: WithEngine, tmp_path: Path
) -> None:
    """A copy without later steps, in a build without outputs."""
    vertex = run("/busybox touch /file")
    copy = CopyAction("/file", "/copy", mode=-1, timestamp=-1)
    action = FileAction(NO_INPUT, 0, 0, copy=copy)
    copied = marshal(Vertex(Op(file=FileOp((action,))), (vertex.output(),)).output())
    export = make_export({"type": "local", "dest": str(tmp_path / "cache")})
    caches = BuildCacheOptions(exports=(export,))

    def use(bench: Bench) -> None:
        with bench.build(TOOLS, caches=caches) as build:
            build.finish(read_result(build.solvable(copied), None, {}), (), cast("Any", None))

    with_engine(use)
    assert os.listdir(tmp_path / "cache" / "blobs" / "sha256")
