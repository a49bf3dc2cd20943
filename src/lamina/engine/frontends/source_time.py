"""The time of a source, for builds that take their SOURCE_DATE_EPOCH from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.engine.steps import step
from lamina.llb.codec import decode_op
from lamina.llb.state import Vertex, marshal
from lamina.system.regular import open_regular

if TYPE_CHECKING:
    from lamina.engine.frontends.contract import SourceContext
    from lamina.llb.op import Definition, Op

_SECOND = 10**9


def source_time(build: SourceContext, definition: Definition) -> int | None:
    """The time of a source in seconds since 1970.

    For a commit, its time. For a download, its Last-Modified, else the time of the newest file if
    it is an archive. None for everything else, and for definitions with several sources. Raises the
    error that stopped the request.
    """
    found = [op for op in map(decode_op, definition.ops) if op.source is not None]
    if len(found) != 1 or found[0].source is None:
        return None
    source = found[0].source
    scheme, _, place = source.identifier.partition("://")
    if scheme == "git":
        remote = build.sources.git(place, dict(source.attrs), build).remote
        with step("[internal] resolve SOURCE_DATE_EPOCH", build.events):
            remote.resolve(build.cancel)
            return remote.commit_time(build.cancel)
    if scheme in ("http", "https"):
        return _download_time(build, found[0])
    return None


def _download_time(build: SourceContext, op: Op) -> int | None:
    """The time of a download, from the source's result: a client's stream can be read only once."""
    from lamina.layers.archives import newest_time

    tree = build.tree(build.solvable(marshal(Vertex(op).output())))
    path, status = next(iter(tree.children("")))
    if status.st_mtime_ns > 0:
        return status.st_mtime_ns // _SECOND
    with open(open_regular(tree.real(path)), "rb") as file:
        newest = newest_time(file)
    return None if newest is None else newest // _SECOND
