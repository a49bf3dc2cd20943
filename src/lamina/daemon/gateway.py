"""The gateway service for frontends that run in clients. Each call names its build."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from lamina.api import gateway as api
from lamina.api.message import first
from lamina.wire.contract import Code, StatusError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.engine.frontends.llb_bridge import LlbBridge
    from lamina.system.cancel import Cancellation
    from lamina.wire.contract import Handler, ServerCall

_BUILD_ID = "buildkit-controlapi-buildid"
_APPEARS = 3.0  # seconds that a call waits for its build
_METHODS = (
    *(api.PING, api.SOLVE, api.RESOLVE_IMAGE_CONFIG, api.RESOLVE_SOURCE_META, api.READ_FILE),
    *(api.READ_DIR, api.STAT_FILE, api.EVALUATE, api.INPUTS, api.WARN, api.RETURN),
    *(api.NEW_CONTAINER, api.RELEASE_CONTAINER, api.EXEC_PROCESS, api.READ_FILE_CONTAINER),
    *(api.READ_DIR_CONTAINER, api.STAT_FILE_CONTAINER),
)


class GatewayService:
    """The bridges of the builds whose frontends run in clients."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._bridges: dict[str, dict[str, Handler]] = {}

    def handlers(self) -> dict[str, Handler]:
        return {method: partial(self._forward, method) for method in _METHODS}

    @contextmanager
    def registered(self, ref: str, bridge: LlbBridge) -> Iterator[None]:
        """Route calls to a build's bridge for the block, and end them with it."""
        with self._changed:
            self._bridges[ref] = bridge.handlers()
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                del self._bridges[ref]
            bridge.close()

    def _forward(self, method: str, call: ServerCall) -> None:
        build = first(call.metadata, _BUILD_ID)
        if not build:
            raise StatusError(Code.INVALID_ARGUMENT, "no buildid found in context")
        handler = self._find(build, call.cancel).get(method)
        if handler is None:
            raise StatusError(Code.UNIMPLEMENTED, f"{method} is not supported yet")
        handler(call)

    def _find(self, build: str, cancel: Cancellation) -> dict[str, Handler]:
        deadline = time.monotonic() + _APPEARS
        with cancel.calling(self._wake), self._changed:
            while build not in self._bridges:
                left = deadline - time.monotonic()
                if left <= 0 or cancel.cancelled:
                    raise StatusError(Code.NOT_FOUND, f"no such job {build}")
                self._changed.wait(left)
            return self._bridges[build]

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
