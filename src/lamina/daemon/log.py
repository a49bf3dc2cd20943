"""The daemon's log on standard error: one line per event, in logrus's format (buildkitd)."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

from lamina.daemon.config import LOG_LEVELS, LogConfig

if TYPE_CHECKING:
    from collections.abc import Mapping


class Log:
    """Thread-safe; each event is one `write`. Events below the level are not formatted.

    Args:
        fd: the file descriptor to write to.
    """

    def __init__(self, config: LogConfig, fd: int = 2) -> None:
        self._json = config.format == "json"
        self._level = LOG_LEVELS.index(config.level)
        self._fd = fd
        self._lock = threading.Lock()

    def trace(self, message: str, **fields: object) -> None:
        self._write("trace", message, fields)

    def debug(self, message: str, **fields: object) -> None:
        self._write("debug", message, fields)

    def info(self, message: str, **fields: object) -> None:
        self._write("info", message, fields)

    def warn(self, message: str, **fields: object) -> None:
        self._write("warn", message, fields)

    def error(self, message: str, **fields: object) -> None:
        self._write("error", message, fields)

    def shows(self, level: str) -> bool:
        """Whether events of a level are written."""
        return LOG_LEVELS.index(level) >= self._level

    def _write(self, level: str, message: str, fields: Mapping[str, object]) -> None:
        if not self.shows(level):
            return
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        name = "warning" if level == "warn" else level
        if self._json:
            import json

            texts = {key: str(value) for key, value in fields.items()}
            line = json.dumps({**texts, "level": name, "msg": message, "time": moment})
        else:
            values = "".join(f" {key}={_quoted(str(value))}" for key, value in fields.items())
            line = f'time="{moment}" level={name} msg={_quoted(message)}{values}'
        with self._lock:
            try:
                os.write(self._fd, f"{line}\n".encode("utf-8", "replace"))
            except OSError:
                return  # the reader of the log is gone, which must not stop the daemon


def _quoted(text: str) -> str:
    """Quote a value (logfmt) unless it is a plain word. Control characters are escaped."""
    if text and all(c.isalnum() or c in "-._/@^+" for c in text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    escaped = escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    if not escaped.isprintable():
        escaped = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped)
    return f'"{escaped}"'
