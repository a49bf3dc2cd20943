"""Messages per second through one connection over a unix socket, with a process at each end.

`python benchmarks/wire.py [--grpcio]`: with it, grpcio is measured too, as client of our server and
alone.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.wire.address import dial
from lamina.wire.client import GrpcChannel
from lamina.wire.contract import Peer, call_unary
from lamina.wire.listen import Listener
from lamina.wire.server import GrpcServer
from lamina.wire.transport import TunnelTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lamina.wire.contract import Handler, ServerCall

SMALL, MESSAGES = 80, 200_000
LARGE, PIECES = 1 << 20, 1000
CALLS = 5_000


def count(call: ServerCall) -> None:
    amount, size = map(int, (call.receive() or b"").split())
    message = bytes(size)
    for _ in range(amount):
        call.send(message)


def total(call: ServerCall) -> None:
    size = 0
    while (message := call.receive()) is not None:
        size += len(message)
    call.send(b"%d" % size)


def tunnel(call: ServerCall) -> None:
    with GrpcServer(TunnelTransport(call), HANDLERS, Peer("")) as server:
        server.wait()


HANDLERS: dict[str, Handler] = {"/b.B/Count": count, "/b.B/Total": total, "/b.B/Tunnel": tunnel}


def serve(path: str) -> None:
    with Listener(f"unix://{path}", HANDLERS):
        sys.stdin.read()


def received(channel: GrpcChannel, amount: int, size: int) -> None:
    with channel.open("/b.B/Count") as call:
        call.send(b"%d %d" % (amount, size))
        call.finish_sending()
        while call.receive() is not None:
            pass


def sent(channel: GrpcChannel, amount: int, size: int) -> None:
    message = bytes(size)
    with channel.open("/b.B/Total") as call:
        for _ in range(amount):
            call.send(message)
        call.finish_sending()
        assert call.receive() == b"%d" % (amount * size)


def calls(channel: GrpcChannel, amount: int) -> None:
    for _ in range(amount):
        call_unary(channel, "/b.B/Total", b"x" * SMALL)


def report(name: str, amount: float, unit: str, work: Callable[[], None]) -> None:
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    print(f"{name:50} {amount / best:12,.0f} {unit}/s", flush=True)


def measure(name: str, channel: GrpcChannel) -> None:
    report(f"{name}: received", MESSAGES, "messages", lambda: received(channel, MESSAGES, SMALL))
    report(f"{name}: sent", MESSAGES, "messages", lambda: sent(channel, MESSAGES, SMALL))
    report(f"{name}: received", PIECES, "MiB", lambda: received(channel, PIECES, LARGE))
    report(f"{name}: sent", PIECES, "MiB", lambda: sent(channel, PIECES, LARGE))
    report(f"{name}: unary", CALLS, "calls", lambda: calls(channel, CALLS))


def measure_grpcio(name: str, path: str) -> None:
    import grpc

    with grpc.insecure_channel(f"unix:{path}") as channel:
        counting: grpc.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream("/b.B/Count")
        totalling: grpc.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary("/b.B/Total")
        unary: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/b.B/Total")
        amount = MESSAGES // 10

        def receive() -> None:
            for _ in counting(b"%d %d" % (amount, SMALL)):
                pass

        def send() -> None:
            totalling(bytes(SMALL) for _ in range(amount))

        def call() -> None:
            for _ in range(CALLS):
                unary(bytes(SMALL))

        report(f"{name}: received", amount, "messages", receive)
        report(f"{name}: sent", amount, "messages", send)
        report(f"{name}: unary", CALLS, "calls", call)


def serve_grpcio(path: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    import grpc

    def counting(request: bytes, _: object) -> Iterator[bytes]:
        amount, size = map(int, request.split())
        return (bytes(size) for _ in range(amount))

    def totalling(requests: Iterator[bytes], _: object) -> bytes:
        return b"%d" % sum(map(len, requests))

    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Count": grpc.unary_stream_rpc_method_handler(counting),
        "Total": grpc.stream_unary_rpc_method_handler(totalling),
    }
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("b.B", handlers),))
    server.add_insecure_port(f"unix:{path}")
    server.start()
    sys.stdin.read()


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2])
        return
    if sys.argv[1:2] == ["--serve-grpcio"]:
        serve_grpcio(sys.argv[2])
        return
    with tempfile.TemporaryDirectory() as folder:
        for how in ("--serve", "--serve-grpcio"):
            path = f"{folder}/{how}"
            command = [sys.executable, __file__, how, path]
            with subprocess.Popen(command, stdin=subprocess.PIPE) as server:
                while not Path(path).exists():
                    time.sleep(0.05)
                if how == "--serve":
                    with dial(f"unix://{path}") as channel:
                        measure("lamina", channel)
                        with (
                            channel.open("/b.B/Tunnel") as call,
                            GrpcChannel(TunnelTransport(call)) as inner,
                        ):
                            measure("lamina in a tunnel", inner)
                    if "--grpcio" in sys.argv:
                        measure_grpcio("grpcio to lamina", path)
                else:
                    measure_grpcio("grpcio", path)
                server.communicate()
            if "--grpcio" not in sys.argv:
                break


if __name__ == "__main__":
    main()
