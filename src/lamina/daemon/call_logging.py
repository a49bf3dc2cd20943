"""Logs failed calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import Cancelled, LaminaError
from lamina.wire.contract import Code, StatusError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.daemon.log import Log
    from lamina.wire.contract import Handler, ServerCall


def with_logging(handlers: Mapping[str, Handler], log: Log) -> dict[str, Handler]:
    """Wrap handlers to log errors. Cancelled calls are logged at the level debug."""
    return {method: _logged(handler, log) for method, handler in handlers.items()}


def _logged(handler: Handler, log: Log) -> Handler:
    def handle(call: ServerCall) -> None:
        try:
            handler(call)
        except (StatusError, LaminaError) as error:
            if _is_leaving(error):
                log.debug(f"{call.method} ended: {error}", peer=call.peer.address)
            else:
                log.error(f"{call.method} returned error: {error}", peer=call.peer.address)
            raise
        except Exception as error:
            import traceback

            trace = "".join(traceback.format_exception(error))
            log.error(f"{call.method} failed: {error!r}", peer=call.peer.address, trace=trace)
            raise StatusError(Code.INTERNAL, "internal error of the daemon; see its log") from None

    return handle


def _is_leaving(error: StatusError | LaminaError) -> bool:
    if isinstance(error, StatusError):
        return error.code is Code.CANCELLED
    return isinstance(error, Cancelled)
