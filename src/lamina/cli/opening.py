"""What every command that needs an engine begins with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from lamina.cli.flags import Parsed
    from lamina.client.contract import Builder


def store_root(parsed: Parsed) -> str:
    """The store's folder: `--root`, else `LAMINA_ROOT`, else the system's or the user's own."""
    root = parsed.text("root") or os.environ.get("LAMINA_ROOT", "")
    if not root and os.geteuid() == 0:
        root = "/var/lib/lamina"
    if not root:
        data = os.environ.get("XDG_DATA_HOME", "")
        if not os.path.isabs(data):  # the XDG specification says to ignore relative ones
            data = os.path.expanduser("~/.local/share")
        root = os.path.join(data, "lamina")
    return os.path.abspath(root)


def open_engine(parsed: Parsed) -> AbstractContextManager[Builder]:
    """The engine on this command line's store, embedded in this process."""
    from lamina.client.embedded import open_builder

    return open_builder(store_root(parsed))
