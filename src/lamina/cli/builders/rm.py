"""`lamina rm`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, LaminaError, NotFound
from lamina.cli.builders.named import timeout
from lamina.cli.opening import chosen_builder
from lamina.client.builders.builder_files import BuilderFiles
from lamina.client.builders.node_group import DEFAULT

if TYPE_CHECKING:
    from lamina.cli.flags import Parsed
    from lamina.client.builders.node_group import NodeGroup

_WARNING = (
    "WARNING! This will remove all builders that are not in running state."
    " Are you sure you want to continue? [y/N] "
)


def run(parsed: Parsed) -> int:
    """Remove builders. Continues after a failure, and returns the exit status."""
    files = BuilderFiles(os.environ)
    if parsed.switch("all-inactive"):
        if parsed.arguments:
            raise InvalidInput("--all-inactive and names of builders cannot be combined")
        return _remove_inactive(parsed, files)
    names = parsed.arguments or [chosen_builder(parsed).name]
    status = 0
    with files.locked():
        for name in names:
            try:
                if name == DEFAULT:
                    raise InvalidInput(f"builder {DEFAULT} cannot be removed")
                if files.find(name) is None:
                    raise NotFound(f'there is no builder "{name}"')
                files.remove(name)
                print(f"{name} removed", file=sys.stderr)
            except LaminaError as error:
                print(f"failed to remove {name}: {error.reason}", file=sys.stderr)
                status = 1
    return status


def _remove_inactive(parsed: Parsed, files: BuilderFiles) -> int:
    if not parsed.switch("force"):
        from lamina.cli.terminal import confirmed

        if not confirmed(_WARNING):
            return 0
    seconds = timeout(parsed)
    with files.locked():
        for group in files.groups():
            if _inactive(group, seconds):
                files.remove(group.name)
                print(f"{group.name} removed", file=sys.stderr)
    return 0


def _inactive(group: NodeGroup, seconds: float) -> bool:
    from lamina.client.builders.node_state import RUNNING, node_states

    return all(state.status != RUNNING for state in node_states(group, seconds))
