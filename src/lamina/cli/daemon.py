"""`lamina daemon`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.cli.daemon_options import read_config
from lamina.cli.opening import store_root

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from lamina.cli.flags import Parsed
    from lamina.daemon.config import TlsFiles
    from lamina.daemon.log import Log
    from lamina.stores.store import Store


def run(parsed: Parsed) -> int:
    """Serve until a signal requests shutdown."""
    if parsed.switch("version"):
        from lamina.daemon.worker import VERSION

        print("lamina", VERSION.package, VERSION.version)
        return 0
    loaded = read_config(parsed)
    from lamina.daemon.log import Log
    from lamina.daemon.server import serve
    from lamina.daemon.unsupported_settings import unsupported_settings

    log = Log(loaded.config.log)
    for warning in (*loaded.warnings, *unsupported_settings(loaded.config)):
        log.warn(warning)
    beside = _ui(parsed, loaded.config.grpc.tls, log) if parsed.given("ui-addr") else None
    return serve(loaded.config, loaded.config.root or store_root(parsed), log, beside)


def _ui(parsed: Parsed, tls: TlsFiles, log: Log) -> Callable[[Store], AbstractContextManager[None]]:
    """What serves the UI: on loopback without TLS, else with the certificates of the daemon."""
    from lamina.cli.ui import TOKEN, require_ui

    require_ui()
    from lamina.ui.server import UiOptions, UiTls, is_loopback, serving, split_address
    from lamina.ui.source import LocalSource

    address = parsed.text("ui-addr")
    plain = is_loopback(split_address(address)[0]) or not tls.cert
    options = UiOptions(
        address,
        None if plain else UiTls(tls.cert, tls.key, tls.ca),
        os.environ.get(TOKEN, ""),
        parsed.switch("ui-allow-changes"),
    )
    return lambda store: serving(
        LocalSource(store), options, lambda url: log.info(f"the UI is at {url}")
    )
