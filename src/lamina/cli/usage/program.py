"""Commands on the program itself."""

from __future__ import annotations

from lamina.cli.flags import Command
from lamina.cli.usage.common import DEBUG

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
