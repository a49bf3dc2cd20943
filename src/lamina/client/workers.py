"""The workers of a daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.api import control as api
from lamina.api.message import unary
from lamina.llb.platform import platform_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lamina.api.worker import WorkerRecord
    from lamina.base.platform import Platform
    from lamina.system.cancel import Cancellation
    from lamina.wire.contract import Channel


def list_workers(channel: Channel, cancel: Cancellation | None = None) -> Sequence[WorkerRecord]:
    """The records of a daemon's workers. Raises StatusError, Corrupt."""
    answer = unary(
        channel,
        api.LIST_WORKERS,
        api.ListWorkersRequest(),
        api.ListWorkersResponse,
        api.SCHEMA,
        cancel=cancel,
    )
    return answer.record


def platforms_of(workers: Iterable[WorkerRecord]) -> tuple[Platform, ...]:
    """The platforms that workers run, each once."""
    found = (platform_of(platform) for worker in workers for platform in worker.platforms)
    return tuple(dict.fromkeys(found))
