"""Every message is equal after encoding and decoding; some bytes are those of protobuf's
encoder."""

from inspect import signature
from typing import Any, assert_never

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.api import (
    auth,
    container,
    content,
    control,
    exporter,
    filesync,
    gateway,
    health,
    history,
    policysession,
    secrets,
    ssh,
)
from lamina.api.descriptor import Descriptor
from lamina.api.status import Any as Packed
from lamina.api.status import Status, error_of, status_of
from lamina.api.timestamp import Timestamp, at_nanoseconds, at_seconds
from lamina.llb.op import Definition, ExecMeta, OpMetadata
from lamina.wire.contract import Code, Detail, StatusError
from lamina.wire.protobuf import Field, Kind, Label, Schema, decode, encode

SERVICES = (
    auth,
    container,
    content,
    control,
    exporter,
    filesync,
    gateway,
    health,
    history,
    policysession,
    secrets,
    ssh,
)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_INT = st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-2, 300)


def _value(field: Field, schema: Schema, depth: int) -> st.SearchStrategy[Any]:
    match field.kind:
        case Kind.STRING:
            return _TEXT
        case Kind.BYTES:
            return st.binary(max_size=6)
        case Kind.BOOL:
            return st.booleans()
        case Kind.INT:
            return _INT if field.type is None else st.sampled_from(field.type)
        case Kind.MESSAGE:
            return messages(field.type, schema, depth - 1)


def messages(kind: Any, schema: Schema, depth: int) -> st.SearchStrategy[Any]:
    """Values of a message, nested `depth` deep."""
    members: dict[str, st.SearchStrategy[Any]] = {}
    for field in schema[kind]:
        if field.kind is Kind.MESSAGE and not depth:
            continue
        value = _value(field, schema, depth)
        match field.label:
            case Label.PLAIN:
                members[field.attribute] = value
            case Label.OPTIONAL | Label.CHOICE:
                members[field.attribute] = st.none() | value
            case Label.REPEATED:
                members[field.attribute] = st.lists(value, max_size=2).map(tuple)
            case Label.MAP:
                members[field.attribute] = st.dictionaries(_TEXT, value, max_size=2).map(
                    lambda pairs: tuple(sorted(pairs.items(), key=lambda pair: pair[0].encode()))
                )
            case unknown:
                assert_never(unknown)
    return st.fixed_dictionaries(members).map(lambda given: kind(**given))


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.__name__)
@given(draw=st.data())
def test_every_message_is_decoded_as_it_was_encoded(service: Any, draw: st.DataObject) -> None:
    schema: Schema = service.SCHEMA
    kind = draw.draw(st.sampled_from(sorted(schema, key=lambda kind: kind.__qualname__)))
    message = draw.draw(messages(kind, schema, 2))
    assert decode(encode(message, schema), kind, schema) == message


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.__name__)
def test_tables_and_values_name_the_same_members(service: Any) -> None:
    schema: Schema = service.SCHEMA
    for kind, fields in schema.items():
        assert {field.attribute for field in fields} == set(signature(kind).parameters), kind
        assert len({field.number for field in fields}) == len(fields), kind
        numbers = [field.number for field in fields]
        assert numbers == sorted(numbers), kind
        for field in fields:
            if field.kind is Kind.MESSAGE:
                assert field.type in schema, (kind, field)
        kind()  # all fields have a zero value


# The encoding of the same values by protobuf's library, with BuildKit's definitions.
PINNED: list[tuple[Any, Schema, str]] = [
    (
        control.SolveRequest(
            ref="r",
            definition=Definition(ops=(b"\x01\x02",)),
            session="s",
            frontend="dockerfile.v0",
            frontend_attrs=(("filename", ""), ("target", "x")),
            cache=control.CacheOptions(exports=(control.CacheOptionsEntry("inline"),)),
            internal=True,
            exporters=(control.Exporter("image", (("push", "true"),)),),
            enable_session_exporter=True,
        ),
        control.SCHEMA,
        "0a017212040a0201022a0173320d646f636b657266696c652e76303a0c0a0866696c656e616d6512003a0b0a"
        "06746172676574120178420a22080a06696e6c696e6558016a150a05696d616765120c0a0470757368120474"
        "7275657001",
    ),
    (
        control.UsageRecord(
            id="a",
            mutable=True,
            size=-1,
            created_at=Timestamp(1_700_000_000, 5),
            parents=("p", "q"),
        ),
        control.SCHEMA,
        "0a0161100120ffffffffffffffffff0132080880e2cfaa061005620170620171",
    ),
    (
        history.BuildHistoryEvent(
            history.BuildHistoryEventType.COMPLETE,
            history.BuildHistoryRecord(
                ref="r",
                error=Status(5, "m", (Packed("t", b"v"),)),
                result=history.BuildResultInfo(
                    results=(history.IndexedDescriptor(1, Descriptor(digest="d", size=3)),)
                ),
                pinned=True,
                num_warnings=2,
            ),
        ),
        history.SCHEMA,
        "080112240a01722a0d080512016d1a060a0174120176520b1a090801120512016418037001980102",
    ),
    (
        container.ExecMessage(
            "p",
            init=container.InitMessage(
                "c", ExecMeta(args=("sh",), cwd="/"), fds=(0, 1, 2), tty=True
            ),
        ),
        gateway.SCHEMA,
        "0a017012130a016312070a0273681a012f1a030001022001",
    ),
    (
        container.ExecMessage("p", done=container.DoneMessage()),
        gateway.SCHEMA,
        "0a01703a00",
    ),
    (
        gateway.Result(ref_deprecated="", metadata=(("k", b"v"),)),
        gateway.SCHEMA,
        "0a0052060a016b120176",
    ),
]


@pytest.mark.parametrize(("message", "schema", "expected"), PINNED)
def test_the_bytes_are_protobufs(message: Any, schema: Schema, expected: str) -> None:
    assert encode(message, schema).hex() == expected
    assert decode(bytes.fromhex(expected), type(message), schema) == message


def test_a_map_entry_without_a_value_has_the_zero_value() -> None:
    data = bytes.fromhex("52030a016b")
    assert decode(data, gateway.Result, gateway.SCHEMA).metadata == (("k", b""),)


def test_a_definition_within_a_request_keeps_its_metadata() -> None:
    definition = Definition((b"op",), (("sha256:1", OpMetadata(ignore_cache=True)),))
    request = gateway.SolveRequest(frontend_inputs=(("context", definition),))
    back = decode(encode(request, gateway.SCHEMA), gateway.SolveRequest, gateway.SCHEMA)
    assert back == request


@given(st.integers(-(1 << 62), 1 << 62))
def test_timestamps_keep_nanoseconds(moment: int) -> None:
    stamp = at_nanoseconds(moment)
    assert stamp.nanoseconds == moment
    assert 0 <= stamp.nanos < 1_000_000_000


def test_a_timestamp_of_a_clock() -> None:
    assert at_seconds(1.5) == Timestamp(1, 500_000_000)


def test_a_status_is_an_error_and_back() -> None:
    error = StatusError(Code.NOT_FOUND, "gone", (Detail("url", b"1"),))
    status = status_of(error)
    assert status == Status(5, "gone", (Packed("url", b"1"),))
    back = error_of(status)
    assert (back.code, back.message, back.details) == (error.code, error.message, error.details)
    assert error_of(Status(99, "new")).code is Code.UNKNOWN
