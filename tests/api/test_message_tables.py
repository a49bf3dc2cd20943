"""The tables of messages agree with public protobuf definitions."""

from __future__ import annotations

from google.protobuf import any_pb2, empty_pb2, field_mask_pb2, timestamp_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.rpc import status_pb2
from grpc_health.v1 import health_pb2

from tests.api import message_tables


def test_tables_have_not_changed_since_they_were_compared_with_buildkits() -> None:
    """After a change, run scripts/compare-messages."""
    assert list(message_tables.lines()) == message_tables.FILE.read_text().splitlines(True)


def descriptors() -> list[FileDescriptorProto]:
    """The definitions that packages of Google and gRPC contain."""
    files = []
    for module in (
        any_pb2,
        empty_pb2,
        field_mask_pb2,
        timestamp_pb2,
        status_pb2,
        health_pb2,
    ):
        file = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        files.append(file)
    return files


def test_messages_of_public_packages() -> None:
    compared, differences = message_tables.compare(descriptors())
    assert differences == ()
    assert compared == {
        "google.protobuf.Any",
        "google.protobuf.Empty",
        "google.protobuf.FieldMask",
        "google.protobuf.Timestamp",
        "google.rpc.Status",
        "grpc.health.v1.HealthCheckRequest",
        "grpc.health.v1.HealthCheckResponse",
        "grpc.health.v1.HealthCheckResponse.ServingStatus",
    }


def test_differences_are_found() -> None:
    """Change one item at a time in a matching definition."""

    def differences(change: str) -> tuple[str, ...]:
        files = descriptors()
        (status,) = [m for f in files for m in f.message_type if m.name == "Status"]
        code, message, details = status.field
        match change:
            case "number":
                code.number = 9
            case "name":
                message.name = "text"
            case "type":
                code.type = FieldDescriptorProto.TYPE_STRING
            case "signed":
                code.type = FieldDescriptorProto.TYPE_SINT32  # zigzag, another encoding
            case "label":
                details.label = FieldDescriptorProto.LABEL_OPTIONAL
            case "message":
                details.type_name = ".google.protobuf.Timestamp"
        return message_tables.compare(files).differences

    # `google.rpc.Status` has two tables: of gRPC calls and of the API.
    assert sorted({*differences("number")}) == ["google.rpc.Status has no field 1 (code)"]
    assert {*differences("name")} == {"google.rpc.Status: field 2 is text, not message"}
    assert {*differences("type")} == {"google.rpc.Status: field 1 is not of the kind INT"}
    assert {*differences("signed")} == {"google.rpc.Status: field 1 is not of the kind INT"}
    assert {*differences("label")} == {"google.rpc.Status: field 3 is not REPEATED"}
    assert {*differences("message")} == {
        "google.rpc.Status: field 3 is a google.protobuf.Timestamp"
    }


def test_values_of_enums_are_compared() -> None:
    files = descriptors()
    (response,) = [m for f in files for m in f.message_type if m.name == "HealthCheckResponse"]
    (status,) = response.enum_type
    status.value[1].number, status.value[2].number = 2, 1
    assert len(message_tables.compare(files).differences) == 2
