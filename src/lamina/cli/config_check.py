"""`lamina config check`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from lamina.base.errors import NotFound
from lamina.cli.daemon_options import default_file
from lamina.daemon.config_file import load_config
from lamina.daemon.unsupported_settings import unsupported_settings

if TYPE_CHECKING:
    from lamina.cli.flags import Parsed


def check(parsed: Parsed) -> int:
    """Check a configuration file. Returns 1 if it has settings that have no effect.

    Raises InvalidInput (with file, key and expected value), NotFound.
    """
    path = parsed.arguments[0] if parsed.arguments else default_file(os.environ)
    if not path:
        raise NotFound("there is no configuration file", hint="name one, or set LAMINA_CONFIG")
    loaded = load_config(path)
    problems = [
        *loaded.warnings,
        *(f"{path}: {text}" for text in unsupported_settings(loaded.config)),
    ]
    for problem in problems:
        print(f"WARNING: {problem}", file=sys.stderr)
    print(f"{path}: {len(problems)} problems" if problems else f"{path} is valid")
    return 1 if problems else 0
