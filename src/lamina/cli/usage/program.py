"""Commands on the program itself."""

from __future__ import annotations

from lamina.cli.flags import Command
from lamina.cli.usage.builder_flags import BUILDER
from lamina.cli.usage.common import DEBUG, FORMAT, ROOT

COMMANDS = (
    Command(
        "install",
        "Make docker build, docker buildx and docker compose build run lamina",
        "",
        "plugin_installation:install",
        (DEBUG,),
    ),
    Command(
        "uninstall",
        "Revert `lamina install`",
        "",
        "plugin_installation:uninstall",
        (DEBUG,),
    ),
    Command(
        "config check",
        "Check a configuration file (default: the one that is used)",
        "[FILE]",
        "config_check:check",
        (DEBUG,),
        most=1,
        complete="file",
    ),
    Command(
        "info",
        "Show this installation, its builder and its store",
        "[OPTIONS]",
        "info:run",
        (
            FORMAT._replace(choices=("pretty", "json"), default="pretty"),
            BUILDER,
            ROOT,
            DEBUG,
        ),
    ),
    Command("version", "Show the version", "", "about:version", (DEBUG,)),
    Command(
        "completion",
        "Print a shell completion script",
        "bash | zsh | fish",
        "completion:run",
        (DEBUG,),
        least=1,
        most=1,
        choices=("bash", "zsh", "fish"),
        examples=("source <(lamina completion bash)",),
    ),
)
