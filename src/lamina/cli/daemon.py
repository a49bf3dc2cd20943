"""`lamina daemon`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.cli.daemon_options import read_config
from lamina.cli.opening import store_root

if TYPE_CHECKING:
    from lamina.cli.flags import Parsed


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
    return serve(loaded.config, loaded.config.root or store_root(parsed), log)
