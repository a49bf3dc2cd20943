"""The time to transfer a directory into a mirror, cold and again, over a socket between two
processes.

`python benchmarks/folder_sync.py [DIRECTORY [TARGET]]`: by default 20,000 files of 232 MB, created
and received below the temporary directory.
"""

from __future__ import annotations

import os
import random
import socket
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from lamina.session.folder_receiver import receive
from lamina.session.folder_sender import opener_of, send
from lamina.session.walk import walk
from lamina.wire.client import GrpcChannel
from lamina.wire.contract import Peer
from lamina.wire.server import GrpcServer
from lamina.wire.transport import SocketTransport

if TYPE_CHECKING:
    from lamina.wire.contract import ServerCall

_METHOD = "/benchmark/DiffCopy"


def make(folder: str) -> None:
    """Create 200 directories of 100 files, 100 bytes to 23 kB each."""
    numbers = random.Random(1)
    for directory in range(200):
        os.makedirs(f"{folder}/d{directory:03}")
        for file in range(100):
            with open(f"{folder}/d{directory:03}/f{file:03}.bin", "wb") as out:
                out.write(os.urandom(numbers.randint(100, 23_000)))


def serve(folder: str, connected: socket.socket) -> None:
    def handler(call: ServerCall) -> None:
        send(call, walk(folder, owner=(0, 0)), opener_of(folder))

    with GrpcServer(SocketTransport(connected), {_METHOD: handler}, Peer("benchmark")) as server:
        server.wait()


def sync(folder: str, target: str) -> str:
    near, far = socket.socketpair()
    sender = os.fork()
    if not sender:
        near.close()
        serve(folder, far)
        os._exit(0)
    far.close()
    began, used = time.perf_counter(), time.process_time()
    with GrpcChannel(SocketTransport(near)) as channel, channel.open(_METHOD) as call:
        received = receive(call, target)
        call.finish_sending()
        while call.receive() is not None:
            continue
    took, used = time.perf_counter() - began, time.process_time() - used
    os.waitpid(sender, 0)
    return f"{took:.2f} s ({used:.2f} s of CPU here): {received}"


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder, target = f"{scratch}/folder", f"{scratch}/target"
        if len(sys.argv) > 1:
            folder = sys.argv[1]
        else:
            make(folder)
        if len(sys.argv) > 2:
            target = sys.argv[2]
        os.makedirs(target, exist_ok=True)
        print("cold:", sync(folder, target))
        print("warm:", sync(folder, target))


if __name__ == "__main__":
    main()
