"""The part of a record about the request, without secrets and credentials."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lamina.api.outputs import CacheOptionsEntry, Exporter
from lamina.base.redact import redacted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Pairs = Iterable[tuple[str, str]]

_SECRET = re.compile(r"secret|token|password|credential|account_key|access_key", re.IGNORECASE)
_HIDDEN = "xxxxx"


def recorded_cache(kind: str, attributes: Pairs) -> CacheOptionsEntry:
    """A cache import or export without the credentials among its attributes."""
    return CacheOptionsEntry(kind, _without_secrets(attributes))


def recorded_output(kind: str, attributes: Pairs) -> Exporter:
    """An output without the credentials among its attributes."""
    return Exporter(kind, _without_secrets(attributes))


def recorded_attributes(attributes: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Frontend attributes without the credentials in their addresses."""
    return tuple((key, redacted(value)) for key, value in sorted(attributes.items()))


def _without_secrets(attributes: Pairs) -> tuple[tuple[str, str], ...]:
    return tuple(
        (key, _HIDDEN if value and _SECRET.search(key) else _unsigned(redacted(value)))
        for key, value in attributes
    )


def _unsigned(value: str) -> str:
    """A value without the query of a signed URL."""
    address, _, query = value.partition("?")
    return f"{address}?{_HIDDEN}" if "sig=" in query else value
