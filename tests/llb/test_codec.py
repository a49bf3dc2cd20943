"""The bytes of an op are its identity, so they are fixed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.base.digest import digest_of
from lamina.base.errors import Corrupt
from lamina.llb.codec import SCHEMA, decode_definition, decode_op, encode_definition, encode_op
from lamina.llb.op import (
    CopyAction,
    ExecMeta,
    ExecOp,
    FileAction,
    FileOp,
    LLBPlatform,
    Mount,
    Op,
    OpMetadata,
    SourceOp,
    UserOpt,
    WorkerConstraints,
)
from lamina.llb.state import Vertex, marshal


def test_an_image_source_has_the_bytes_that_go_gives_it() -> None:
    op = Op(
        source=SourceOp("docker-image://docker.io/library/busybox:latest"),
        platform=LLBPlatform("amd64", "linux"),
    )
    source = b"\x1a\x31\x0a\x2fdocker-image://docker.io/library/busybox:latest"
    platform = b"\x52\x0e\x0a\x05amd64\x12\x05linux"
    assert encode_op(op) == platform + source
    assert decode_op(platform + source) == decode_op(source + platform) == op


def test_a_vertex_has_the_digest_that_buildkit_gives_it() -> None:
    digest = "sha256:396b9e6734ee8e9881ea0b10a4ddece91808a09dab0f6d5f2f11add20d4ee671"
    op = Op(
        source=SourceOp(f"docker-image://docker.io/library/busybox:latest@{digest}"),
        platform=LLBPlatform("amd64", "linux"),
        constraints=WorkerConstraints(),
    )
    assert str(digest_of(encode_op(op))) == (
        "sha256:38e6064024631cf9bd77366ec9e3639f8f6c7da326d2a018c26fd97aed481b33"
    )


def test_zero_values_are_left_out_and_negative_numbers_take_ten_bytes() -> None:
    op = Op(exec=ExecOp(meta=ExecMeta(args=("true",), cwd="/"), mounts=(Mount(output=-1),)))
    data = encode_op(op)
    assert b"\x20" + b"\xff" * 9 + b"\x01" in data
    assert decode_op(data) == op


def test_a_zero_member_of_a_oneof_is_kept() -> None:
    from lamina.wire.protobuf import decode, encode

    assert encode(UserOpt(by_id=0), SCHEMA) == b"\x10\x00"
    assert decode(b"\x10\x00", UserOpt, SCHEMA) == UserOpt(by_id=0)


def test_map_entries_are_sorted_by_key() -> None:
    one = SourceOp("local://context", (("b", "2"), ("a", "1")))
    two = SourceOp("local://context", (("a", "1"), ("b", "2")))
    assert encode_op(Op(source=one)) == encode_op(Op(source=two))


def test_unknown_fields_are_skipped() -> None:
    assert decode_op(b"\x9a\x06\x03abc") == Op()


@given(st.binary(max_size=200))
def test_arbitrary_bytes_decode_or_are_refused(data: bytes) -> None:
    try:
        decode_op(data)
        decode_definition(data)
    except Corrupt:
        pass


def test_a_definition_lists_inputs_before_users_and_each_op_once() -> None:
    base = Vertex(Op(source=SourceOp("docker-image://x")))
    copy = FileOp((FileAction(input=0, secondary_input=1, copy=CopyAction("/a", "/b")),))
    left = Vertex(Op(file=copy), (base.output(), base.output()), OpMetadata(ignore_cache=True))
    definition = marshal(left.output())
    assert [digest_of(data) for data in definition.ops[:2]] == [base.digest, left.digest]
    assert len(definition.ops) == 3
    assert decode_op(definition.ops[-1]).inputs[0].digest == left.digest
    again = decode_definition(encode_definition(definition))
    assert again.ops == definition.ops
    assert dict(again.metadata) == dict(definition.metadata)


def test_a_truncated_message_is_corrupt() -> None:
    with pytest.raises(Corrupt):
        decode_op(b"\x1a\x31\x0a")
