"""Asks for the privileges that targets need and `--allow` does not grant."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from lamina.bake.entitlements import missing_privileges, parse_grants, with_overrides
from lamina.base.errors import PermissionDenied

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.bake.overrides import Overrides
    from lamina.bake.selection import Selection


def check_privileges(allowed: Sequence[str], overrides: Overrides, selection: Selection) -> None:
    """Raises PermissionDenied if something is not granted, neither by `--allow` nor by the user."""
    grants = with_overrides(parse_grants(allowed), overrides)
    missing = missing_privileges(selection.targets.values(), grants, os.environ)
    if not missing:
        return
    flags = " ".join(f"--allow={privilege.entitlement}" for privilege in missing)
    lines = ["The bake files request privileges:", ""]
    lines += [f" - {privilege.permits}" for privilege in missing]
    print("\n".join([*lines, "", f"To grant them, pass {flags}", ""]), file=sys.stderr, flush=True)
    if sys.stdin is not None and sys.stdin.isatty():
        print("Grant them and continue? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() == "y":
            return
    raise PermissionDenied("the bake files request privileges that are not granted", hint=flags)
