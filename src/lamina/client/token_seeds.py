"""The seeds of a client's token keys, by registry, stored beside Docker's `config.json`.

The file is that of buildx and buildctl (`.token_seed`), because they act for the same user: a JSON
object of `{"Seed": base64}` by host, under a lock. So a daemon recognizes the builds of a user as
those of one client, which saves tokens. If the file cannot be written, seeds last as long as the
process.
"""

from __future__ import annotations

import os
import threading
from typing import Any

_LENGTH = 16
_NAME = ".token_seed"


class TokenSeeds:
    """The seeds in a directory. Safe for threads and processes."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._known: dict[str, bytes] = {}

    def of(self, host: str) -> bytes:
        """A registry's seed, which is created if there is none."""
        with self._lock:
            if host not in self._known:
                self._known[host] = self._kept(host, os.urandom(_LENGTH))
            return self._known[host]

    def _kept(self, host: str, new: bytes) -> bytes:
        from base64 import b64encode

        from lamina.system.cancel import Cancellation
        from lamina.system.locks import held

        path = os.path.join(self._folder, _NAME)
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            with held(f"{path}.lock", Cancellation()):
                document = _read(path)
                if (old := _seed(document.get(host))) is not None:
                    return old
                document[host] = {"Seed": b64encode(new).decode()}
                _write(path, document)
        except OSError:
            pass
        return new


def _seed(entry: object) -> bytes | None:
    if not isinstance(entry, dict):
        return None
    from base64 import b64decode

    try:
        return b64decode(str(entry.get("Seed") or ""), validate=True) or None
    except ValueError:
        return None


def _read(path: str) -> dict[str, Any]:
    """The stored seeds; empty if the file is damaged, for example by a power cut during a write."""
    import json

    try:
        with open(path, "rb") as file:
            document = json.load(file)
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _write(path: str, document: dict[str, Any]) -> None:
    import json

    path = os.path.realpath(path)
    part = f"{path}.{os.urandom(4).hex()}.part"
    try:
        fd = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
        os.replace(part, path)
    except OSError:
        if os.path.lexists(part):
            os.unlink(part)
        raise
