"""The flags of `lamina explain`, and the flag `--format` of it and `lamina plan`."""

from __future__ import annotations

from lamina.cli.flags import Flag

TEXT_FORMAT = Flag(
    "format", "Output format", value="FORMAT", choices=("text", "json"), default="text"
)

EXPLAIN_FLAGS = (
    Flag(
        "against",
        "Build to compare with (default: the previous one of the same target)",
        value="BUILD",
    ),
    TEXT_FORMAT,
    Flag("step", "Only the step with this number, or steps with this text", value="STEP"),
)
