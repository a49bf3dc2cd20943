"""The real gRPC library as the peer, in both roles."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from lamina.wire.address import dial
from lamina.wire.contract import Code, ServerCall, StatusError, call_unary
from lamina.wire.listen import Listener
from lamina.wire.status import status_fields
from lamina.wire.tls import client_context, server_context
from tests.wire.wire_service import DETAIL, HANDLERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from lamina.wire.client import GrpcChannel
    from tests.wire.certificates import Certificates

grpc: Any = pytest.importorskip("grpc")

LIMITS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
SIZES = [0, 1, 16379, 65536, 8 << 20]


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[Any]:
    """A grpcio channel to our server."""
    with (
        Listener(f"unix://{tmp_path}/s", HANDLERS),
        grpc.insecure_channel(f"unix:{tmp_path}/s", options=LIMITS) as channel,
    ):
        yield channel


class Service:
    """The service of the grpcio server."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()

    def echo(self, requests: Iterable[bytes], context: Any) -> Iterable[bytes]:
        metadata = [item for item in context.invocation_metadata() if item[0].startswith("x-")]
        context.send_initial_metadata(metadata)
        yield from requests

    def total(self, requests: Iterable[bytes], _: Any) -> bytes:
        return b"%d" % sum(map(len, requests))

    def count(self, request: bytes, _: Any) -> Iterable[bytes]:
        amount, size = map(int, request.split())
        for number in range(amount):
            yield b"%0*d" % (size, number)

    def fail(self, _: bytes, context: Any) -> bytes:
        (details,) = (
            value
            for name, value in status_fields(Code.FAILED_PRECONDITION, "nö: 100%\n", (DETAIL,))
            if name == b"grpc-status-details-bin"
        )
        import binascii

        raw = binascii.a2b_base64(details + b"==")
        context.set_trailing_metadata([("grpc-status-details-bin", raw)])
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "nö: 100%\n")
        raise AssertionError

    def wait(self, _: bytes, context: Any) -> Iterable[bytes]:
        context.add_callback(self.cancelled.set)
        yield b"begun"
        self.cancelled.wait(20)

    def handlers(self) -> dict[str, Any]:
        return {
            "Echo": grpc.stream_stream_rpc_method_handler(self.echo),
            "Total": grpc.stream_unary_rpc_method_handler(self.total),
            "Count": grpc.unary_stream_rpc_method_handler(self.count),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "Wait": grpc.unary_stream_rpc_method_handler(self.wait),
        }


@contextmanager
def their_server(service: Service, credentials: Any = None) -> Iterator[str]:
    """A grpcio server on a loopback port. Returns its address."""
    with ThreadPoolExecutor(32) as pool:
        server = grpc.server(pool, options=LIMITS)
        handlers = grpc.method_handlers_generic_handler("test.Service", service.handlers())
        server.add_generic_rpc_handlers((handlers,))
        if credentials is None:
            port = server.add_insecure_port("127.0.0.1:0")
        else:
            port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        try:
            yield f"tcp://127.0.0.1:{port}"
        finally:
            server.stop(None).wait(10)


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def ours(service: Service) -> Iterator[GrpcChannel]:
    """Our channel to the grpcio server."""
    with their_server(service) as address, dial(address) as channel:
        yield channel


class TestTheirClient:
    @pytest.mark.parametrize("size", SIZES)
    def test_every_shape(self, theirs: Any, size: int) -> None:
        message = b"m" * size
        assert theirs.unary_unary("/test.Service/Echo")(message) == message
        total = theirs.stream_unary("/test.Service/Total")
        assert total(iter([message] * 3)) == b"%d" % (3 * size)
        echo = theirs.stream_stream("/test.Service/Echo")
        assert list(echo(iter([message] * 3))) == [message] * 3

    def test_many_messages(self, theirs: Any) -> None:
        count = theirs.unary_stream("/test.Service/Count")
        assert list(count(b"3000 50")) == [b"%050d" % number for number in range(3000)]
        total = theirs.stream_unary("/test.Service/Total")
        assert total(b"x" * 100 for _ in range(3000)) == b"300000"

    def test_metadata(self, theirs: Any) -> None:
        sent = [("x-text", "a b"), ("x-raw-bin", bytes(range(256))), ("x-text", "again")]
        call = theirs.unary_stream("/test.Service/Echo")(b"", metadata=sent)
        assert [tuple(item) for item in call.initial_metadata()] == sent
        assert list(call) == [b""]

    def test_statuses(self, theirs: Any) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            theirs.unary_unary("/test.Service/Fail")(b"")
        error: Any = caught.value
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert error.details() == "nö: 100% of\nit"
        details = dict(error.trailing_metadata())["grpc-status-details-bin"]
        assert DETAIL.value in details
        assert DETAIL.type_url.encode() in details
        with pytest.raises(grpc.RpcError) as caught:
            theirs.unary_unary("/test.Service/Nothing")(b"")
        error = caught.value
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED

    def test_many_calls_at_once(self, theirs: Any) -> None:
        echo = theirs.unary_unary("/test.Service/Echo")
        messages = [b"%d" % number * 20000 for number in range(200)]
        futures = [echo.future(message) for message in messages]
        assert [future.result(30) for future in futures] == messages

    def test_deadlines(self, theirs: Any) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            theirs.unary_unary("/test.Service/Silent")(b"", timeout=0.1)
        error: Any = caught.value
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    def test_cancelling(self, tmp_path: Path) -> None:
        gone = threading.Event()

        def handler(call: ServerCall) -> None:
            call.start()
            if call.cancel.wait(10):
                gone.set()

        with (
            Listener(f"unix://{tmp_path}/s", {"/a.B/C": handler}),
            grpc.insecure_channel(f"unix:{tmp_path}/s") as channel,
        ):
            call = channel.unary_stream("/a.B/C")(b"")
            call.initial_metadata()
            call.cancel()
            assert gone.wait(10)

    def test_an_early_answer(self, theirs: Any) -> None:
        def requests() -> Iterator[bytes]:
            for _ in range(1000):
                yield bytes(10000)
                time.sleep(0.001)

        assert theirs.stream_unary("/test.Service/Early")(requests()) == b"enough"

    def test_compressed_messages(self, tmp_path: Path) -> None:
        with (
            Listener(f"unix://{tmp_path}/s", HANDLERS),
            grpc.insecure_channel(
                f"unix:{tmp_path}/s", compression=grpc.Compression.Gzip
            ) as channel,
        ):
            message = b"squeeze me" * 1000
            assert channel.unary_unary("/test.Service/Total")(message) == b"10000"

    def test_their_pings_are_suffered(self, tmp_path: Path) -> None:
        options = [
            ("grpc.keepalive_time_ms", 20),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
        ]
        with (
            Listener(f"unix://{tmp_path}/s", HANDLERS),
            grpc.insecure_channel(f"unix:{tmp_path}/s", options=options) as channel,
        ):
            echo = channel.unary_unary("/test.Service/Echo")
            for _ in range(5):
                time.sleep(0.1)
                assert echo(b"x") == b"x"

    def test_draining(self, tmp_path: Path) -> None:
        release = threading.Event()

        def handler(call: ServerCall) -> None:
            call.start()
            assert release.wait(10)
            call.send(b"done")

        listener = Listener(f"unix://{tmp_path}/s", {"/a.B/C": handler})
        with grpc.insecure_channel(f"unix:{tmp_path}/s") as channel:
            call = channel.unary_stream("/a.B/C")(b"")
            call.initial_metadata()
            drained: list[bool] = []
            thread = threading.Thread(target=lambda: drained.append(listener.drain(10)))
            thread.start()
            release.set()
            assert list(call) == [b"done"]
            thread.join(10)
        assert drained == [True]

    def test_mutual_tls(self, certificates: Certificates) -> None:
        def subject(call: ServerCall) -> None:
            call.receive()
            call.send(call.peer.subject.encode())

        context = server_context(certificates.server, certificates.server_key, certificates.ca)
        credentials = grpc.ssl_channel_credentials(*certificates.client_bytes())
        with (
            Listener("tcp://127.0.0.1:0", {"/a.B/Subject": subject}, tls=context) as listener,
            grpc.secure_channel(listener.address.removeprefix("tcp://"), credentials) as channel,
        ):
            assert channel.unary_unary("/a.B/Subject")(b"") == b"O=lamina,CN=client"


class TestTheirServer:
    @pytest.mark.parametrize("size", SIZES)
    def test_every_shape(self, ours: GrpcChannel, size: int) -> None:
        message = b"m" * size
        assert call_unary(ours, "/test.Service/Total", message) == b"%d" % size
        with ours.open("/test.Service/Echo") as call:
            for _ in range(3):
                call.send(message)
                assert call.receive() == message
            call.finish_sending()
            assert call.receive() is None

    def test_many_messages(self, ours: GrpcChannel) -> None:
        with ours.open("/test.Service/Count") as call:
            call.send(b"3000 50")
            call.finish_sending()
            assert list(iter(call.receive, None)) == [b"%050d" % n for n in range(3000)]
        with ours.open("/test.Service/Total") as call:
            for _ in range(3000):
                call.send(b"x" * 100)
            call.finish_sending()
            assert call.receive() == b"300000"
            assert call.receive() is None

    def test_metadata(self, ours: GrpcChannel) -> None:
        metadata = (("x-text", "a b"), ("x-raw-bin", bytes(range(256))), ("x-text", "again"))
        with ours.open("/test.Service/Echo", metadata) as call:
            call.finish_sending()
            assert call.header() == metadata

    def test_statuses(self, ours: GrpcChannel) -> None:
        with pytest.raises(StatusError) as caught:
            call_unary(ours, "/test.Service/Fail", b"")
        error = caught.value
        assert (error.code, error.message) == (Code.FAILED_PRECONDITION, "nö: 100%\n")
        assert error.details == (DETAIL,)
        with pytest.raises(StatusError) as caught:
            call_unary(ours, "/test.Service/Nothing", b"")
        assert caught.value.code is Code.UNIMPLEMENTED

    def test_cancelling(self, ours: GrpcChannel, service: Service) -> None:
        with ours.open("/test.Service/Wait") as call:
            call.send(b"")
            call.finish_sending()
            assert call.receive() == b"begun"
        assert service.cancelled.wait(10)

    def test_many_calls_at_once(self, ours: GrpcChannel) -> None:
        with ThreadPoolExecutor(30) as pool:
            answers = pool.map(
                lambda n: call_unary(ours, "/test.Service/Total", bytes(n * 1000)), range(100)
            )
            assert list(answers) == [b"%d" % (n * 1000) for n in range(100)]

    def test_a_server_that_stops(self, service: Service) -> None:
        with their_server(service) as address:
            channel = dial(address)
            assert call_unary(channel, "/test.Service/Total", b"x") == b"1"
        with channel:
            assert channel.wait(10)
            with pytest.raises(StatusError) as caught:
                call_unary(channel, "/test.Service/Total", b"x")
            assert caught.value.code is Code.UNAVAILABLE

    def test_mutual_tls(self, certificates: Certificates, service: Service) -> None:
        credentials = grpc.ssl_server_credentials(
            [certificates.server_bytes()], certificates.client_bytes()[0], True
        )
        context = client_context(certificates.ca, certificates.client, certificates.client_key)
        with their_server(service, credentials) as address, dial(address, context) as channel:
            message = bytes(3 << 20)
            with channel.open("/test.Service/Echo") as call:
                call.send(message)
                call.finish_sending()
                assert call.receive() == message
