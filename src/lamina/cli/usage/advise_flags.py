"""The flags of `lamina advise`."""

from __future__ import annotations

from lamina.cli.flags import Flag
from lamina.cli.usage.frontend_flags import FRONTEND_FLAGS

_OF_BUILD = ("build-arg", "target")

ADVISE_FLAGS = (
    *(flag for flag in FRONTEND_FLAGS if flag.name in _OF_BUILD),
    Flag("apply", "Write the changes to the Dockerfile and the ignore file"),
    Flag(
        "edit",
        "File of the context that --prove changes (default: one that COPY reads)",
        value="FILE",
        complete="file",
    ),
    Flag(
        "file",
        "Dockerfile, or - for standard input (default: PATH/Dockerfile)",
        short="f",
        value="FILE",
        complete="file",
    ),
    Flag("format", "Output format", value="FORMAT", choices=("text", "json"), default="text"),
    Flag(
        "kind",
        "Only this kind of advice",
        value="KIND",
        repeat=True,
        # Those of `lamina.advise.advice.Kind`, which is not imported for other commands.
        choices=("cache-mount", "context", "copy-order", "deleted-files", "parallel", "secret"),
    ),
    Flag("prove", "Build both versions, before and after an edit, and print the times"),
)
