"""The bridge of a frontend ends without disturbing its build."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lamina.api import gateway
from lamina.attest.contract import FrontendCall
from lamina.engine.frontends.llb_bridge import LlbBridge
from lamina.system.cancel import Cancellation
from lamina.wire.protobuf import encode

if TYPE_CHECKING:
    from collections.abc import Iterator


class Build:
    """A build that notes whether its requests were cancelled. A request of it ends when `go_on` is
    set."""

    def __init__(self) -> None:
        self.ended = False
        self.go_on = threading.Event()

    def end(self) -> None:
        self.ended = True

    @contextmanager
    def as_requester(self) -> Iterator[None]:
        yield
        self.go_on.wait()


class Call:
    """A call with one request."""

    cancel = Cancellation()

    def __init__(self, request: Any) -> None:
        self._messages = [encode(request, gateway.SCHEMA)]

    def receive(self) -> bytes | None:
        return self._messages.pop() if self._messages else None

    def send(self, _: bytes) -> None: ...


def test_the_call_that_returns_the_result_may_end_after_the_bridge() -> None:
    build = Build()
    bridge = LlbBridge(build, FrontendCall("", {}, {}), {}, ())  # type: ignore[arg-type] # a part
    handler: Any = bridge.handlers()[gateway.RETURN]
    call = Call(gateway.ReturnRequest(gateway.Result()))
    thread = threading.Thread(target=handler, args=(call,))
    thread.start()
    try:
        assert bridge.wait(Cancellation()).parts == ()
        bridge.close()
        assert not build.ended
    finally:
        build.go_on.set()
        thread.join()
