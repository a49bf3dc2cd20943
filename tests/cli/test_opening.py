"""Which builder a command works on."""

from __future__ import annotations

import pytest

from lamina.base.errors import Unsupported
from lamina.cli import cache, image_commands, run_command, transfer
from lamina.cli.commands import COMMANDS
from lamina.cli.flags import parse


@pytest.mark.parametrize(
    ("line", "doing"),
    [
        ("images", "list images"),
        ("rmi app", "remove images"),
        ("inspect app", "inspect images"),
        ("run app", "run images"),
        ("push app", "push stored images"),
        ("pull app", "pull images"),
        ("cache ls", "list cache mounts"),
        ("cache export --to type=local,dest=out", "export cache mounts"),
        ("cache import go --from type=local,src=out", "import cache mounts"),
        ("cache rm go", "remove cache mounts"),
    ],
)
def test_commands_on_the_local_store_refuse_a_daemon(
    line: str, doing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMINA_HOST", "tcp://daemon.example:1")
    name, *arguments = line.split()
    parsed = parse(COMMANDS[name], arguments)
    command = {
        "images": image_commands.list_images,
        "rmi": image_commands.remove_images,
        "inspect": image_commands.inspect_images,
        "run": run_command.run,
        "push": transfer.push,
        "pull": transfer.pull,
        "cache": cache.run,
    }[name]
    with pytest.raises(Unsupported) as refused:
        command(parsed)
    assert refused.value.reason == f"the daemon at tcp://daemon.example:1 cannot {doing}"
    assert "--root" in refused.value.hint
