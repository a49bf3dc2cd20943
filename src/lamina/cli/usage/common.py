"""Flags of several commands."""

from __future__ import annotations

from lamina.cli.flags import Flag

ROOT = Flag("root", "Store directory (default: $LAMINA_ROOT)", value="DIR", complete="directory")
DEBUG = Flag("debug", "Show a traceback when a command fails", short="D")
FORMAT = Flag(
    "format",
    "Output format, or a Go template",
    value="FORMAT",
    choices=("table", "json"),
    default="table",
    open=True,
)
FILTER = Flag(
    "filter",
    "Select records: until=24h, id=…, type=…, description~=…, inuse, shared, private",
    value="FILTER",
    repeat=True,
)

PROGRESS = Flag(
    "progress",
    "Progress display",
    value="MODE",
    choices=("auto", "tty", "plain", "rawjson", "quiet", "none"),
    default="auto",
)
TIMEOUT = Flag("timeout", "How long to wait for a node's answer", value="TIME", default="20s")
INSECURE = Flag("insecure", "Allow plain HTTP and untrusted certificates")
QUIET = Flag("quiet", "Show no progress", short="q")
