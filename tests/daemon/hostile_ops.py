"""Invalid ops: any value in any field, generated from the codec's tables."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, assert_never

from hypothesis import strategies as st

from lamina.base.digest import digest_of
from lamina.llb import op
from lamina.llb.codec import SCHEMA, encode_op
from lamina.wire.protobuf import Field, Kind, Label, Schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hypothesis.strategies import SearchStrategy

NUMBERS = (0, 1, 2, 3, 7, 255, 1 << 31, 1 << 32, (1 << 63) - 1, -1, -2, -(1 << 63))
TEXTS = (
    *("", "/", "a", "/a", "/a/b", "..", "/../../../tmp/x", ".", "//", "a\0b", "\udcff\udc80"),
    *("*", "[", "{{.}}", "0", "-1", "root", "1000:1000", "x=y", "=", "a" * 300, "/b" * 3000, "é\n"),
)
# No sources that use the network.
IDENTIFIERS = (
    *("", "x", "://", "local://", "local://context", "oci-layout://x@sha256:" + "0" * 64),
    *("docker-image://", "docker-image://Not A Name", "docker-image://x@sha256:zz", "gopher://x"),
    *("http://", "git://", "https://[::1", "oci-layout://\0", "docker-image://\udcff", "git://\0"),
)


def definition(*ops: op.Op) -> op.Definition:
    """Ops that each have the previous one as their first input, with the last one as the result."""
    encoded: list[bytes] = []
    for one in ops:
        if encoded:
            one = one._replace(inputs=(op.Input(digest_of(encoded[-1])), *one.inputs))
        encoded.append(encode_op(one))
    last = op.Op(inputs=(op.Input(digest_of(encoded[-1])),) if encoded else ())
    return op.Definition((*encoded, encode_op(last)))


def messages(message: type, schema: Schema = SCHEMA) -> SearchStrategy[Any]:
    """Values of a message of a schema, by default LLB's."""
    if message is op.SourceOp:
        attributes = st.lists(st.tuples(st.sampled_from(TEXTS), st.sampled_from(TEXTS)), max_size=2)
        return st.builds(op.SourceOp, st.sampled_from(IDENTIFIERS), attributes.map(_entries))
    if message is op.Definition:
        return st.just(op.Definition())
    fields = {field.attribute: _values(field, schema) for field in schema[message]}
    return st.builds(message, **fields)


def ops() -> SearchStrategy[op.Op]:
    """Ops of one kind each, with some existing inputs and some missing ones."""
    kinds: dict[str, type] = {
        "exec": op.ExecOp,
        "source": op.SourceOp,
        "file": op.FileOp,
        "build": op.BuildOp,
        "merge": op.MergeOp,
        "diff": op.DiffOp,
        "passthrough": op.PassthroughOp,
    }
    return st.sampled_from(list(kinds)).flatmap(
        lambda name: messages(kinds[name]).map(lambda body: op.Op(**{name: body}))
    )


def mended(one: op.Op) -> op.Op:
    """The op with all required fields, so that later checks are reached."""
    if one.exec is not None:
        meta = (one.exec.meta or op.ExecMeta())._replace(args=("/x", "a"), ulimit=())
        mounts = [
            mount._replace(input=min(max(mount.input, -1), 0), output=-1)
            for mount in one.exec.mounts
            if mount.dest != "/"
        ]
        root = op.Mount(0, dest="/")
        return op.Op(exec=one.exec._replace(meta=meta, mounts=(root, *mounts)))
    if one.file is not None:
        actions = [_mended_action(action) for action in one.file.actions]
        last = op.FileAction(0, -1, 0, mkdir=op.MkDirAction("/z", 0o755))
        return op.Op(file=op.FileOp((*actions, last)))
    if one.merge is not None:
        inputs = [op.MergeInput(min(max(part.input, -1), 0)) for part in one.merge.inputs]
        return op.Op(merge=op.MergeOp((op.MergeInput(0), *inputs)))
    return one


def _mended_action(action: op.FileAction) -> op.FileAction:
    for kind in ("copy", "mkfile", "mkdir", "rm", "symlink"):
        body = getattr(action, kind)
        if body is not None:
            return op.FileAction(0, 0 if kind == "copy" else -1, -1, **{kind: body})
    return op.FileAction(0, -1, -1, rm=op.RmAction("/none", allow_not_found=True))


def _values(field: Field, schema: Schema) -> SearchStrategy[Any]:
    one: SearchStrategy[Any]
    match field.kind:
        case Kind.STRING:
            one = st.sampled_from(TEXTS)
        case Kind.BYTES:
            one = st.binary(max_size=20)
        case Kind.BOOL:
            one = st.booleans()
        case Kind.INT if field.type is not None and issubclass(field.type, IntEnum):
            one = st.sampled_from(list(field.type))
        case Kind.INT:
            one = st.sampled_from(NUMBERS)
        case Kind.MESSAGE:
            one = st.deferred(lambda: messages(field.type, schema))
    match field.label:
        case Label.PLAIN:
            return one
        case Label.OPTIONAL | Label.CHOICE:
            return st.none() | one
        case Label.REPEATED:
            return st.lists(one, max_size=3).map(tuple)
        case Label.MAP:
            return st.lists(st.tuples(st.sampled_from(TEXTS), one), max_size=2).map(_entries)
    assert_never(field.label)


def _entries(pairs: Sequence[tuple[str, Any]]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(dict(pairs).items(), key=lambda pair: pair[0]))
