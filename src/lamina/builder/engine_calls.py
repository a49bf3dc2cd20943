"""The calls between a builder and its engine process: pickled values over gRPC.

Both ends are the same installation of lamina, and the engine process is a child of the builder's,
so pickle is safe here. A call is one stream:

    caller   Request, then None to cancel
    engine   Event…, with Opened before a frontend of the caller runs, and one Outcome

The events of `build_all` are TargetEvent.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.base.errors import LaminaError
    from lamina.base.events import Event

CALL = "/lamina.engine.v1.Engine/Call"


class Request(NamedTuple):
    """A method of `lamina.client.embedded.EmbeddedBuilder`.

    `events` and `cancel` say whether the method takes an event sink and a cancellation.
    """

    method: str
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = {}
    events: bool = False
    cancel: bool = False


class Opened(NamedTuple):
    """The gateway serves the build with this ref. `attributes`: see `ClientFrontend`."""

    ref: str
    attributes: Mapping[str, str]


class TargetEvent(NamedTuple):
    """An event of one of several builds."""

    target: str
    event: Event


class Outcome(NamedTuple):
    """How a call ended."""

    result: Any = None
    error: LaminaError | None = None


def dump(value: Any) -> bytes:
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def load(data: bytes) -> Any:
    return pickle.loads(data)
