from __future__ import annotations

import json
import os

from lamina.daemon.config import LogConfig
from lamina.daemon.log import Log


def written(config: LogConfig) -> list[str]:
    reader, writer = os.pipe()
    log = Log(config, writer)
    log.trace("t")
    log.debug("d")
    log.info("running server on x", addr='a "b"', n=1)
    log.warn("two\nlines \x1b]0;x\x07 \x9b")
    os.close(writer)
    with os.fdopen(reader) as file:
        lines = file.read().splitlines()
    log.error("nobody listens any more")
    return lines


def test_text() -> None:
    info, warning = written(LogConfig())
    assert info.startswith('time="20')
    assert info.endswith('level=info msg="running server on x" addr="a \\"b\\"" n=1')
    assert warning.endswith('level=warning msg="two\\nlines \\u001b]0;x\\u0007 \\u009b"')


def test_json() -> None:
    info, warning = map(json.loads, written(LogConfig("json")))
    assert (info["level"], info["msg"], info["n"]) == ("info", "running server on x", "1")
    assert warning["msg"] == "two\nlines \x1b]0;x\x07 \x9b"


def test_levels() -> None:
    assert len(written(LogConfig(level="trace"))) == 4
    assert len(written(LogConfig(level="debug"))) == 3
    assert len(written(LogConfig(level="warn"))) == 1
    assert written(LogConfig(level="panic")) == []
