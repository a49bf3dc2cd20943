"""`Control.Status`, `Control.ListenBuildHistory` and `Control.UpdateBuildHistory`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lamina.api import control, history
from lamina.api.message import text_request_of
from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple
from lamina.records.filter import parse_history_filters
from lamina.wire.fields import data, integer
from lamina.wire.protobuf import Schema, encode

if TYPE_CHECKING:
    from lamina.daemon.history import History
    from lamina.system.cancel import Cancellation
    from lamina.wire.contract import Handler, ServerCall

_NOW = "buildkit-current-timestamp"


class _EncodedEvent(NamedTuple):
    """`BuildHistoryEvent` with an encoded record."""

    type: int
    record: bytes


_SCHEMA: Schema = {_EncodedEvent: (integer(1, "type"), data(2, "record"))}


class HistoryService:
    """Handlers of the three methods.

    Args:
        ending: cancelled when the daemon shuts down; streams of future events end then.
    """

    def __init__(self, history: History, ending: Cancellation) -> None:
        self._history = history
        self._ending = ending

    def handlers(self) -> dict[str, Handler]:
        return {
            control.STATUS: self.status,
            history.LISTEN_BUILD_HISTORY: self.listen,
            history.UPDATE_BUILD_HISTORY: self.update,
        }

    def status(self, call: ServerCall) -> None:
        request = text_request_of(call, control.StatusRequest, control.SCHEMA)
        _send_time(call)
        for message in self._history.status(request.ref, call.cancel):
            call.send(message)

    def listen(self, call: ServerCall) -> None:
        request = text_request_of(call, history.BuildHistoryRequest, history.SCHEMA)
        if request.limit < 0:
            raise InvalidInput(f"invalid limit {request.limit}")
        matches = parse_history_filters(request.filter)
        _send_time(call)

        def replay() -> None:
            if request.active_only:
                return
            found = self._history.records.find(request.ref, matches, request.limit)
            for record in found:
                complete = _EncodedEvent(history.BuildHistoryEventType.COMPLETE, record)
                call.send(encode(complete, _SCHEMA))

        if request.early_exit:
            for record in self._history.running():
                if request.ref in ("", record.ref):
                    self._send(call, history.BuildHistoryEventType.STARTED, record)
            replay()
            return
        events = self._history.listen(request.ref, replay, call.cancel, self._ending)
        for event in events:
            self._send(call, event.kind, event.record)

    def update(self, call: ServerCall) -> None:
        """Delete a record, or set whether it is pinned.

        To finalize does nothing, because records are complete when they appear.
        """
        request = text_request_of(call, history.UpdateBuildHistoryRequest, history.SCHEMA)
        if request.delete:
            self._history.delete(request.ref)
        elif not request.finalize:
            self._history.pin(request.ref, request.pinned)
        call.send(encode(history.UpdateBuildHistoryResponse(), history.SCHEMA))

    @staticmethod
    def _send(
        call: ServerCall,
        kind: history.BuildHistoryEventType,
        record: history.BuildHistoryRecord,
    ) -> None:
        call.send(encode(history.BuildHistoryEvent(kind, record), history.SCHEMA))


def _send_time(call: ServerCall) -> None:
    """Send the daemon's time: clients compute ages with it."""
    now = time.time()
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    call.start(((_NOW, f"{text}.{int(now % 1 * 1e9):09d}Z"),))
