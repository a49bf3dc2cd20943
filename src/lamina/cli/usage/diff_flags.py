"""The flags of `lamina diff`."""

from __future__ import annotations

from lamina.cli.flags import Flag
from lamina.cli.usage.explain_flags import TEXT_FORMAT

DIFF_FLAGS = (
    TEXT_FORMAT,
    Flag("history", "Compare the history, too"),
    Flag("ignore-layers", "Compare only the final file systems, not layer by layer"),
    Flag(
        "platform",
        "Platform of images for several (default: that of this machine)",
        value="PLATFORM",
    ),
    Flag("times", "Compare times of files and of the image, too"),
    Flag(
        "type",
        "What the names refer to (default: builds if one begins with ^, else images)",
        value="TYPE",
        choices=("image", "build"),
    ),
    Flag("verbose", "List all files that differ, or all steps"),
)
