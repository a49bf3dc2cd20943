"""Images on their way to registries, in sight of the user."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from lamina.base.events import StatusEvent
from lamina.registry.upload import Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.base.digest import Digest
    from lamina.base.oci import Descriptor
    from lamina.base.reference import Reference
    from lamina.engine.steps import Step
    from lamina.registry.client import RegistryClient
    from lamina.registry.upload import Content
    from lamina.system.cancel import Cancellation

_PERIOD = 0.1


def push(
    references: Sequence[Reference],
    target: Descriptor,
    content: Content,
    client_of: Callable[[str], RegistryClient],
    shown: Step,
    cancel: Cancellation,
) -> None:
    """Push one image under several names, those of one registry sharing what was sent.

    Raises as `lamina.registry.upload.Upload` does.
    """
    done: list[Reference] = []
    clients: dict[str, RegistryClient] = {}
    for reference in references:
        domain = reference.domain
        if domain not in clients:
            clients[domain] = client_of(domain)
        upload = Upload(clients[domain], reference, target, content, mirrors=done)
        if not any(other.name == reference.name for other in done):
            with shown.doing("pushing layers"):
                upload.blobs(cancel, _Meter(shown))
        canonical = reference._replace(digest=target.digest)
        with shown.doing(f"pushing manifest for {canonical}"):
            upload.manifests(cancel)
        done.append(reference)


class _Meter:
    """Shows how far each blob has come, not more often than eyes can follow."""

    def __init__(self, shown: Step) -> None:
        self._shown = shown
        self._lock = threading.Lock()
        self._begun: dict[Digest, tuple[float, float]] = {}

    def __call__(self, descriptor: Descriptor, sent: int, /) -> None:
        now = time.time()
        whole = sent >= descriptor.size
        with self._lock:
            started, told = self._begun.get(descriptor.digest, (0.0, 0.0))
            if not started and whole:
                return  # it was there already
            started = started or now
            if not whole and now - told < _PERIOD:
                return
            self._begun[descriptor.digest] = (started, now)
        self._shown.event(
            StatusEvent(
                self._shown.digest,
                f"pushing {descriptor.digest}",
                now,
                sent,
                descriptor.size,
                started,
                now if whole else None,
            )
        )
