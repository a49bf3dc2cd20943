"""The flags of `lamina run`."""

from __future__ import annotations

from lamina.cli.flags import Flag

RUN_FLAGS = (
    Flag("entrypoint", 'Override the ENTRYPOINT of the image ("" for none)', value="COMMAND"),
    Flag("env", "Set an environment variable", short="e", value="NAME[=VALUE]", repeat=True),
    Flag("hostname", "Host name of the container", value="NAME"),
    Flag("interactive", "Attach standard input", short="i"),
    Flag(
        "network",
        "Network of the container",
        value="MODE",
        choices=("default", "none", "host"),
        default="default",
    ),
    Flag("read-only", "Mount the root file system read-only"),
    Flag("rm", "Remove the container when it exits (always)"),
    Flag("tty", "Allocate a terminal", short="t"),
    Flag("user", "User, and group, of the command", short="u", value="NAME|UID[:GROUP|GID]"),
    Flag(
        "volume", "Mount a host directory or file", short="v", value="HOST:TARGET[:ro]", repeat=True
    ),
    Flag("workdir", "Working directory", short="w", value="DIR"),
)
