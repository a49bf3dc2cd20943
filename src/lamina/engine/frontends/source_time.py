"""When what a source holds was made, for builds whose times are taken from it."""

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
    """In seconds since 1970: when a commit was made; what a server says of a file (its
    Last-Modified), else the time of the newest file in it, if it is an archive. None for
    everything else, and for definitions of more than one source.

    Raises what stopped the asking.
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
    """Read from the source's own result: a stream of the client's comes but once."""
    from lamina.layers.archives import newest_time

    tree = build.tree(build.solvable(marshal(Vertex(op).output())))
    path, status = next(iter(tree.children("")))
    if status.st_mtime_ns > 0:
        return status.st_mtime_ns // _SECOND
    with open(open_regular(tree.real(path)), "rb") as file:
        newest = newest_time(file)
    return None if newest is None else newest // _SECOND
