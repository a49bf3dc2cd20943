"""Network namespaces for steps, connected by CNI plugins.

Connecting one takes longer than a short step, so some are kept ready, and the next step reuses
one: the processes in it have ended, and steps cannot change it. Those of insecure steps, which
can, are never reused.

Every namespace is mounted on a file in a directory. A second file records its addresses. When
lamina is killed, the kernel removes the namespaces, and the next process that opens the directory
releases the recorded addresses.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from lamina.base.errors import LaminaError
from lamina.base.named_tuple import NamedTuple
from lamina.runtime.cni import Attachment
from lamina.runtime.network_namespace import make_namespace, remove_namespace
from lamina.system.threads import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lamina.runtime.cni import CniPlugins

_IDLE = 300.0  # seconds that surplus namespaces are kept


class _Ready(NamedTuple):
    attachment: Attachment
    since: float


class PluginNetworks:
    """Implements `contract.Networks`. `close` it when no step runs any more.

    Args:
        folder: an existing directory, used only by this process.
        wanted: the number of namespaces to keep ready.
        warn: is called with the reason if one could not be made in advance.

    Raises Unavailable if the plugins cannot connect anything.
    """

    def __init__(
        self, plugins: CniPlugins, folder: str, wanted: int, warn: Callable[[str], None]
    ) -> None:
        self._plugins = plugins
        self._folder = folder
        self._wanted = wanted
        self._warn = warn
        self._lock = threading.Lock()
        self._ready: deque[_Ready] = deque()
        self._closed = False
        self._give_back_left()
        self._filling = WorkerPool(1, "networks")
        self._keep(self._open())
        self._filling.submit(self._fill)

    @contextmanager
    def attached(self, hostname: str, *, insecure: bool) -> Iterator[str]:
        with self._lock:
            known = self._ready.pop() if self._ready and not hostname else None
        attachment = known.attachment if known is not None else self._open(hostname)
        try:
            yield attachment.path
        finally:
            if hostname or insecure:
                self._release(attachment)
            else:
                self._keep(attachment)

    def close(self) -> None:
        with self._lock:
            self._closed = True
        self._filling.close()
        while self._ready:
            self._release(self._ready.pop().attachment)

    def _fill(self) -> None:
        while True:
            with self._lock:
                if self._closed or len(self._ready) >= self._wanted:
                    return
            try:
                self._keep(self._open())
            except LaminaError as error:
                self._warn(f"cannot keep networks ready: {error}")
                return

    def _keep(self, attachment: Attachment) -> None:
        """Keep one ready for the next step, and release those that were unused for long."""
        old = []
        now = time.monotonic()
        with self._lock:
            if self._closed:
                old.append(attachment)
            else:
                self._ready.append(_Ready(attachment, now))
            while len(self._ready) > self._wanted and now - self._ready[0].since > _IDLE:
                old.append(self._ready.popleft().attachment)
        for each in old:
            self._release(each)

    def _open(self, hostname: str = "") -> Attachment:
        made = os.urandom(8).hex()
        path = os.path.join(self._folder, made)
        # The argument by which orchestrators pass pod names to plugins; others must ignore it.
        arguments = (("K8S_POD_NAME", hostname), ("IgnoreUnknown", "1")) if hostname else ()
        attachment = Attachment(made, path, arguments)
        self._record(attachment)
        try:
            make_namespace(path)
            attachment = self._plugins.connect(attachment)
            self._record(attachment)
        except BaseException:
            self._remove(attachment)
            raise
        return attachment

    def _release(self, attachment: Attachment) -> None:
        self._plugins.disconnect(attachment)
        self._remove(attachment)

    def _remove(self, attachment: Attachment) -> None:
        remove_namespace(attachment.path)
        with suppress(FileNotFoundError):
            os.unlink(f"{attachment.path}.json")

    def _record(self, attachment: Attachment) -> None:
        with open(f"{attachment.path}.json", "w", encoding="utf-8") as file:
            json.dump(attachment._replace(path="")._asdict(), file)

    def _give_back_left(self) -> None:
        for name in os.listdir(self._folder):
            if not name.endswith(".json"):
                continue
            path = os.path.join(self._folder, name.removesuffix(".json"))
            with suppress(ValueError, TypeError, KeyError):
                with open(f"{path}.json", encoding="utf-8") as file:
                    record = json.load(file)
                arguments = tuple((key, value) for key, value in record["arguments"])
                left = Attachment(record["id"], "", arguments, dict(record["result"]))
                self._plugins.disconnect(left)
            self._remove(Attachment("", path))
