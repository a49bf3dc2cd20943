"""`lamina version`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from lamina import __version__

if TYPE_CHECKING:
    from lamina.cli.flags import Parsed


def version(parsed: Parsed) -> int:
    """Print the versions of lamina, Python and the system."""
    system = os.uname()
    python = ".".join(map(str, sys.version_info[:3]))
    print(f"lamina {__version__} (Python {python}, {system.sysname} {system.machine})")
    return 0
