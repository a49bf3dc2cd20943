"""Invalid definitions: each is rejected with an error for its client only, at once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamina.api import control
from lamina.api.message import unary
from lamina.base.digest import digest_of
from lamina.llb import op
from lamina.llb.codec import encode_definition, encode_op
from lamina.wire.contract import Code, StatusError, call_unary
from lamina.wire.protobuf import encode
from tests.daemon.hostile_ops import definition, mended, ops
from tests.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.wire.client import GrpcChannel

EXAMPLES = settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrpcChannel]:
    with DaemonProcess(tmp_path_factory.mktemp("daemon") / "store") as daemon:
        with daemon.dial() as channel:
            yield channel
        assert daemon.process.poll() is None
        assert "Traceback" not in daemon.read_log()


def solve(channel: GrpcChannel, wanted: op.Definition) -> None:
    request = control.SolveRequest(os.urandom(8).hex(), definition=wanted)
    unary(channel, control.SOLVE, request, control.SolveResponse, control.SCHEMA)


def refusal(channel: GrpcChannel, wanted: op.Definition) -> str:
    with pytest.raises(StatusError) as refused:
        solve(channel, wanted)
    assert refused.value.code is Code.UNKNOWN, refused.value
    return refused.value.message


@pytest.fixture(autouse=True)
def goes_on(channel: GrpcChannel) -> Iterator[None]:
    """Check that the next build succeeds."""
    yield
    solve(channel, definition(folder(f"/{os.urandom(4).hex()}")))


def folder(path: str, base: int = -1, output: int = 0) -> op.Op:
    made = op.MkDirAction(path, 0o755)
    return op.Op(file=op.FileOp((op.FileAction(base, -1, output, mkdir=made),)))


def actions(*found: op.FileAction) -> op.Op:
    return op.Op(file=op.FileOp(found))


def command(*mounts: op.Mount, args: tuple[str, ...] = ("/x",), **meta: Any) -> op.Op:
    root = () if any(mount.dest == "/" for mount in mounts) else (op.Mount(-1, dest="/"),)
    made = op.ExecMeta(args, cwd="/")._replace(**meta)
    return op.Op(exec=op.ExecOp(made, (*root, *mounts)))


def ending(last: op.Op, *before: op.Op) -> op.Definition:
    return op.Definition((*map(encode_op, before), encode_op(last)))


def of(data: bytes, output: int = 0) -> op.Input:
    return op.Input(digest_of(data), output)


A, B = folder("/a"), folder("/b")
A_DATA = encode_op(A)
ABSENT = "sha256:" + "0" * 64
COPY = op.CopyAction("/a", "/b")
MKDIR = op.MkDirAction("/a", 0o755)


def owned(user: op.UserOpt) -> op.Op:
    return actions(op.FileAction(-1, -1, 0, mkdir=MKDIR._replace(owner=op.ChownOpt(user, None))))


REFUSED: dict[str, tuple[op.Definition, str]] = {
    "no result": (ending(op.Op()), "must end in one result"),
    "an op alone": (ending(A), "must end in one result"),
    "no last op": (ending(B, A), "must end in one result"),
    "two results": (
        ending(op.Op(inputs=(of(A_DATA), of(encode_op(B)))), A, B),
        "must end in one result",
    ),
    "a last op that does something": (
        ending(B._replace(inputs=(of(A_DATA),)), A),
        "must end in one result",
    ),
    "an input that is not there": (ending(op.Op(inputs=(op.Input(ABSENT),)), A), ABSENT),
    "an input that is no digest": (ending(op.Op(inputs=(op.Input("a/../b"),)), A), "a/../b"),
    "an output that is not there": (ending(op.Op(inputs=(of(A_DATA, 7),)), A), "no output 7"),
    "a far output": (ending(op.Op(inputs=(of(A_DATA, 1 << 60),)), A), f"no output {1 << 60}"),
    "a negative output": (ending(op.Op(inputs=(of(A_DATA, -1),)), A), "output index -1"),
    "no kind": (definition(op.Op()), "no known kind"),
    "two kinds": (definition(A._replace(merge=op.MergeOp())), "several kinds"),
    "no command": (definition(command(args=())), "without a command"),
    "no meta": (definition(op.Op(exec=op.ExecOp(None, (op.Mount(-1, dest="/"),)))), "a command"),
    "no root": (
        definition(op.Op(exec=op.ExecOp(op.ExecMeta(("/x",)), (op.Mount(-1, dest="/x"),)))),
        "without a root mount",
    ),
    "a root that is a secret": (
        definition(
            command(op.Mount(-1, dest="/", mount_type=op.MountType.SECRET, secret=op.SecretOpt()))
        ),
        "the root of an exec",
    ),
    "a mount of no input": (definition(command(op.Mount(5, dest="/"))), "input 5"),
    "a mount of a negative input": (definition(command(op.Mount(-7, dest="/"))), "input -7"),
    "a far output of a mount": (
        definition(command(op.Mount(-1, dest="/m", output=1 << 40))),
        f"/m has the output index {1 << 40}",
    ),
    "a mount's negative output": (definition(command(op.Mount(-1, dest="/", output=-5))), "-5"),
    "an output twice": (definition(command(op.Mount(-1, dest="/m"))), "two mounts are output 0"),
    "a cache without options": (
        definition(command(op.Mount(-1, dest="/m", output=-1, mount_type=op.MountType.CACHE))),
        "cache mount at /m",
    ),
    "a secret without options": (
        definition(command(op.Mount(-1, dest="/m", output=-1, mount_type=op.MountType.SECRET))),
        "secret mount at /m",
    ),
    "an agent without options": (
        definition(command(op.Mount(-1, dest="/m", output=-1, mount_type=op.MountType.SSH))),
        "ssh mount at /m",
    ),
    "NUL in a command": (definition(command(args=("/x", "a\0b"))), "NUL"),
    "NUL in a mount": (definition(command(op.Mount(-1, dest="/a\0b", output=-1))), "NUL"),
    "an unknown limit": (definition(command(ulimit=(op.Ulimit("wit", 1, 1),))), '"wit"'),
    "a limit above itself": (definition(command(ulimit=(op.Ulimit("core", 2, 1),))), "soft limit"),
    "no actions": (definition(actions()), "without actions"),
    "an action of no kind": (definition(actions(op.FileAction(-1, -1, 0))), "no known kind"),
    "an action of two kinds": (
        definition(actions(op.FileAction(-1, -1, 0, mkdir=MKDIR, rm=op.RmAction("/a")))),
        "several kinds",
    ),
    "an action on no input": (definition(folder("/a", base=9)), "input 9"),
    "an action on a negative input": (definition(folder("/a", base=-9)), "input -9"),
    "an action on itself": (definition(folder("/a", base=0)), "its own result"),
    "actions on each other": (
        definition(
            actions(op.FileAction(1, -1, 0, mkdir=MKDIR), op.FileAction(0, -1, 1, mkdir=MKDIR))
        ),
        "its own result",
    ),
    "actions with outputs apart": (
        definition(folder("/a", output=9)),
        "outputs of a file op are 9",
    ),
    "actions without outputs": (definition(folder("/a", output=-1)), "are none"),
    "an action's negative output": (definition(folder("/a", output=-9)), "are -9"),
    "actions with one output": (
        definition(
            actions(op.FileAction(-1, -1, 0, mkdir=MKDIR), op.FileAction(0, -1, 0, mkdir=MKDIR))
        ),
        "are 0, 0",
    ),
    "a copy of no input": (definition(actions(op.FileAction(-1, 44, 0, copy=COPY))), "input 44"),
    "NUL in a path": (definition(folder("/a\0b")), "NUL"),
    "a long name": (definition(folder("/" + "a" * 300)), "too long"),
    "a long path": (definition(folder("/a" * 3000)), "too long"),
    "an endless path": (definition(folder("/" + "a" * 5_000_000)), "5000001 bytes"),
    "a link to nothing": (
        definition(actions(op.FileAction(-1, -1, 0, symlink=op.SymlinkAction("", "/l")))),
        "a path of 0 bytes",
    ),
    "a link that is the root": (
        definition(actions(op.FileAction(-1, -1, 0, symlink=op.SymlinkAction("a", "/..")))),
        "exists already",
    ),
    "a file that is the root": (
        definition(actions(op.FileAction(-1, -1, 0, mkfile=op.MkFileAction("/", 0o644, b"")))),
        "is a directory",
    ),
    "removing what is above": (
        definition(A, actions(op.FileAction(0, -1, 0, rm=op.RmAction("/../..")))),
        "cannot be removed",
    ),
    "an owner by a name in no input": (
        definition(owned(op.UserOpt(op.NamedUser("bob", 3)))),
        '"bob" refers to input 3',
    ),
    "an owner below nobody": (definition(owned(op.UserOpt(by_id=-5))), "-5 is not a user ID"),
    "an owner above all": (
        definition(owned(op.UserOpt(by_id=1 << 32))),
        f"{1 << 32} is not a user",
    ),
    "a merge of nothing": (definition(op.Op(merge=op.MergeOp())), "a merge of nothing"),
    "a merge of no input": (
        definition(A, op.Op(merge=op.MergeOp((op.MergeInput(0), op.MergeInput(5))))),
        "input 5",
    ),
    "half a diff": (definition(op.Op(diff=op.DiffOp(op.DiffInput(-1)))), "without upper"),
    "a diff of no input": (
        definition(op.Op(diff=op.DiffOp(op.DiffInput(-1), op.DiffInput(6)))),
        "upper refers to input 6",
    ),
    "a build of no input": (
        definition(op.Op(build=op.BuildOp(-1, (("buildkit.llb.definition", op.BuildInput(9)),)))),
        "input 9",
    ),
    "a build by nobody": (definition(op.Op(build=op.BuildOp(7))), "LLB builder"),
    "a passthrough of nothing": (
        definition(op.Op(passthrough=op.PassthroughOp())),
        "without an ID",
    ),
    "a passthrough of no input": (
        definition(op.Op(passthrough=op.PassthroughOp("x", (5,)))),
        "input 5",
    ),
    "a source with inputs": (definition(A, op.Op(source=op.SourceOp("local://a"))), "inputs"),
    "a source of nothing": (definition(op.Op(source=op.SourceOp(""))), '""'),
    "a source of an unknown kind": (definition(op.Op(source=op.SourceOp("wit://x"))), '"wit"'),
    "an image of no name": (definition(op.Op(source=op.SourceOp("docker-image://"))), '""'),
    "NUL in a source": (definition(op.Op(source=op.SourceOp("git://\0"))), "NUL"),
    "a folder of nobody": (definition(op.Op(source=op.SourceOp("local://a"))), '"a"'),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_invalid_definitions_are_refused_with_the_reason(channel: GrpcChannel, case: str) -> None:
    wanted, message = REFUSED[case]
    assert message in refusal(channel, wanted)


def test_unknown_capabilities(channel: GrpcChannel) -> None:
    wanted = definition(A)
    extra = op.OpMetadata(caps=(("no.such.cap", True),))
    asked = wanted._replace(metadata=((digest_of(A_DATA), extra),))
    assert "unknown API capability no.such.cap" in refusal(channel, asked)
    # Builds that do not need it are not affected.
    extra = op.OpMetadata(caps=(("no.such.cap", False), ("file.base", True)))
    solve(channel, wanted._replace(metadata=((digest_of(A_DATA), extra),)))


def test_unknown_numbers(channel: GrpcChannel) -> None:
    # An exec whose network mode (3) is 99.
    data = encode_op(command())
    assert refusal(channel, _with(data[:1], data[1:2], data[2:] + b"\x18\x63"))


def _with(tag: bytes, size: bytes, body: bytes) -> op.Definition:
    assert size[0] + 2 < 0x80
    data = tag + bytes([size[0] + 2]) + body
    return op.Definition((data, encode_op(op.Op(inputs=(of(data),)))))


def test_unusual_definitions_that_are_valid(channel: GrpcChannel) -> None:
    solve(channel, op.Definition())
    chained = definition(A, folder("/b", base=0), folder("/c", base=0))
    first, second, third, last = chained.ops
    # In any order, repeated, and beside unneeded ops, whatever they are.
    odd = encode_op(command(args=()))
    solve(channel, chained._replace(ops=(third, first, second, first, odd, third, last)))
    # Actions in any order.
    solve(
        channel,
        definition(
            actions(
                op.FileAction(1, -1, 0, mkdir=op.MkDirAction("/a/b", 0o755)),
                op.FileAction(-1, -1, -1, mkdir=MKDIR),
            )
        ),
    )
    nowhere = op.SourceLocation(-5, (op.Range(),))
    solve(
        channel,
        definition(A)._replace(
            metadata=((ABSENT, op.OpMetadata(ignore_cache=True)), ("", op.OpMetadata())),
            source=op.SourceMap(
                ((ABSENT, op.Locations((nowhere,))), (digest_of(A_DATA), op.Locations((nowhere,)))),
                (op.SourceInfo("\udcff", b"\xff"),),
            ),
        ),
    )


@EXAMPLES
@given(found=ops() | ops().map(mended), below=st.booleans())
def test_any_op(channel: GrpcChannel, found: op.Op, below: bool) -> None:
    _solved_or_refused(channel, definition(A, found) if below else definition(found))


VALID = [
    encode_op(A),
    encode_op(command(op.Mount(-1, dest="/c", output=-1, cache=op.CacheOpt("c")))),
    encode_op(actions(op.FileAction(-1, -1, 0, symlink=op.SymlinkAction("/x", "/y")))),
    encode_op(op.Op(source=op.SourceOp("local://context", (("local.unique", "x"),)))),
    encode_op(op.Op(merge=op.MergeOp((op.MergeInput(-1),)))),
]


@EXAMPLES
@given(
    data=st.sampled_from(VALID),
    place=st.integers(0, 100),
    removed=st.integers(0, 5),
    put=st.binary(max_size=6),
)
def test_any_bytes_near_those_of_an_op(
    channel: GrpcChannel, data: bytes, place: int, removed: int, put: bytes
) -> None:
    place = min(place, len(data))
    mutated = data[:place] + put + data[place + removed :]
    last = encode_op(op.Op(inputs=(of(mutated),)))
    _solved_or_refused(channel, op.Definition((mutated, last)))


@EXAMPLES
@given(place=st.integers(0, 300), removed=st.integers(0, 9), put=st.binary(max_size=9))
def test_any_bytes_near_those_of_a_request(
    channel: GrpcChannel, place: int, removed: int, put: bytes
) -> None:
    wanted = definition(A)._replace(metadata=((digest_of(A_DATA), op.OpMetadata()),))
    data = encode(control.SolveRequest("near", definition=wanted), control.SCHEMA)
    mutated = data[:place] + put + data[place + removed :]
    try:
        call_unary(channel, control.SOLVE, mutated)
    except StatusError as error:
        assert error.code is not Code.INTERNAL, error
        assert error.message


def _solved_or_refused(channel: GrpcChannel, wanted: op.Definition) -> None:
    try:
        solve(channel, wanted)
    except StatusError as error:
        assert error.code in (Code.UNKNOWN, Code.UNIMPLEMENTED), error
        assert error.message


@pytest.mark.timeout(120)
def test_a_hundred_thousand_unused_ops(channel: GrpcChannel) -> None:
    solve(
        channel,
        op.Definition(
            (
                *(encode_op(folder(f"/{n}")) for n in range(100_000)),
                A_DATA,
                encode_op(op.Op(inputs=(of(A_DATA),))),
            )
        ),
    )


def test_a_chain_of_twenty_thousand_ops(channel: GrpcChannel) -> None:
    # Its first op fails, and so do all that depend on it.
    chain = definition(folder("/none/a"), *(folder(f"/{n}", base=0) for n in range(20_000)))
    assert "/none" in refusal(channel, chain)


def test_builds_in_builds(channel: GrpcChannel) -> None:
    solve(channel, _nested(20))
    assert "nested more than" in refusal(channel, _nested(110))


def _nested(depth: int) -> op.Definition:
    inner = definition(folder(f"/{depth}"))
    for _ in range(depth):
        written = op.MkFileAction("/llb", 0o644, encode_definition(inner))
        build = op.BuildOp(
            -1,
            (("buildkit.llb.definition", op.BuildInput(0)),),
            attrs=(("llbbuild.filename", "llb"),),
        )
        inner = definition(actions(op.FileAction(-1, -1, 0, mkfile=written)), op.Op(build=build))
    return inner
