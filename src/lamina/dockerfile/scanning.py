"""Which file systems an SBOM covers in addition to the target: BuildKit's scan arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.booleans import parse_bool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.dockerfile.stage_state import StageState


def is_scanned(argument: str, state: StageState, global_args: Mapping[str, str]) -> bool:
    """Whether an argument selects a stage: it is true, or lists the name of the stage.

    The ARG instructions of the stage take precedence over those above the first FROM.
    """
    values = [global_args.get(argument)]
    values += [value for name, value in state.args if name == argument]
    value = next((value for value in reversed(values) if value is not None), None)
    if value is None:
        return False
    chosen = parse_bool(value)
    return state.stage.name in value.split(",") if chosen is None else chosen
