"""`lamina ui`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, Unsupported
from lamina.cli.opening import open_ui_source

if TYPE_CHECKING:
    from lamina.cli.flags import Parsed
    from lamina.ui.server import UiOptions

TOKEN = "LAMINA_UI_TOKEN"


def run(parsed: Parsed) -> int:
    """Serve the UI until a signal."""
    require_ui()
    from lamina.daemon.signals import taken
    from lamina.ui.server import DEFAULT_ADDRESS, UiOptions, UiTls, serving

    certificate, key, authority = (
        parsed.text(name) for name in ("servercert", "serverkey", "clientca")
    )
    if bool(certificate) != bool(key):
        raise InvalidInput("--servercert and --serverkey must be given together")
    if authority and not certificate:
        raise InvalidInput("--clientca needs --servercert and --serverkey")
    options = UiOptions(
        parsed.text("addr") or DEFAULT_ADDRESS,
        UiTls(certificate, key, authority) if certificate else None,
        os.environ.get(TOKEN, ""),
        parsed.switch("allow-changes"),
    )
    with (
        taken() as signals,
        open_ui_source(parsed) as source,
        serving(source, options, _Addresses(options)),
    ):
        signals.next()
    return 0


def require_ui() -> None:
    """Raise Unsupported if the packages of the UI are not installed."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise Unsupported(
            f"the UI needs the package {error.name}", hint="pip install 'lamina[ui]'"
        ) from error


class _Addresses:
    """Prints addresses. Those after the first one are for other browsers."""

    def __init__(self, options: UiOptions) -> None:
        self._options = options
        self._printed = False

    def __call__(self, address: str) -> None:
        words = "For another browser" if self._printed else "Open"
        token = f" with ?token= and the value of {TOKEN}" if self._options.token else ""
        print(f"{words}: {address}{token}", flush=True)
        self._printed = True
