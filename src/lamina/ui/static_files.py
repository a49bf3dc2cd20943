"""The files of the page, which `scripts/ui` builds."""

from __future__ import annotations

import os

from lamina.base.errors import NotFound

STATIC = os.path.join(os.path.dirname(__file__), "static")


def static_files() -> frozenset[str]:
    """The files of the page, as relative paths. Raises NotFound if the page was not built."""
    found = frozenset(
        os.path.relpath(os.path.join(folder, name), STATIC)
        for folder, _, names in os.walk(STATIC)
        for name in names
    )
    if "index.html" not in found:
        raise NotFound(
            "the page of the UI is not built", hint="run scripts/ui in a source tree of lamina"
        )
    return found


def read_static(suffix: str) -> str:
    """The text of the only file with a suffix. Raises NotFound."""
    (name,) = (name for name in static_files() if name.endswith(suffix))
    with open(os.path.join(STATIC, name), encoding="utf-8") as file:
        return file.read()
