"""The retention of build records.

The table `[history]` of the configuration file sets it, for daemons and for builds without one:

    [history]
    maxAge = "336h"
    maxEntries = 200
    maxSize = "1GB"

Without the table the defaults of `Retention` apply. In a table, missing values are 0, as in
BuildKit.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from lamina.base.toml_table import TomlTable

_DEFAULT_FILE = "/etc/lamina/lamina.toml"


class Retention(NamedTuple):
    """The rules for deleting records: those older than `max_age` seconds that are not among the
    newest `max_entries`; then the oldest ones while logs take more than `max_size` bytes (0: no
    limit). Pinned records and running builds are kept."""

    max_age: float = 14 * 86_400.0
    max_entries: int = 200
    max_size: int = 1 << 30


def parse_retention(table: TomlTable) -> Retention:
    """Read the table `[history]`. Raises InvalidInput."""
    if not table:
        return Retention()
    age, entries = table.seconds("maxAge"), table.number("maxEntries") or 0
    return Retention(age, entries, _size(table))


def configured_retention() -> Retention:
    """The retention in the file `LAMINA_CONFIG`, or in `/etc/lamina/lamina.toml` if it exists.

    Raises InvalidInput, NotFound.
    """
    path = os.environ.get("LAMINA_CONFIG", _DEFAULT_FILE)
    if not os.path.exists(path):
        return Retention()
    from lamina.base.toml_table import TomlTable, read_toml

    document = read_toml(path, "configuration file")
    return parse_retention(TomlTable(document, path).table("history"))


def _size(table: TomlTable) -> int:
    from lamina.base.units import size_of

    value = table.take("maxSize")
    if value is None or value == "":
        return 0
    try:
        size = size_of(value) if isinstance(value, str) else value
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 62:
            raise ValueError
        return size
    except (ValueError, OverflowError):
        expected = 'a number of bytes or a size like "10GB"'
        raise table.wrong("maxSize", expected, value) from None
