"""Builds the targets of `lamina bake`."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from lamina.base.errors import Cancelled, LaminaError
from lamina.cli.bake_request import target_request
from lamina.cli.build_command import check_archives, progress_mode, show_warnings
from lamina.cli.interrupt import interruptible
from lamina.cli.loading import with_loading
from lamina.cli.opening import chosen_builder, note_use, open_builder
from lamina.cli.progress.choose import open_display
from lamina.client.merged_events import MergedEvents

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.bake.selection import Selection
    from lamina.cli.flags import Parsed
    from lamina.client.contract import BuildOutcome

_STDERR = 2


def build_targets(parsed: Parsed, selection: Selection) -> int:
    """Build all targets at the same time. Returns the exit status."""
    mode = progress_mode(parsed)
    metadata_file = parsed.text("metadata-file")
    if metadata_file:
        from lamina.cli.result_files import check_folder

        check_folder(metadata_file, "metadata-file")
    with ExitStack() as owned:
        requests = {
            name: owned.enter_context(target_request(target))
            for name, target in sorted(selection.targets.items())
        }
        group = chosen_builder(parsed)
        for name, request in requests.items():
            check_archives(request.outputs)
            platforms = request.frontend.platforms
            outputs = with_loading(request.outputs, platforms, group)
            requests[name] = request._replace(outputs=outputs)
        builder = owned.enter_context(open_builder(parsed))
        note_use(group)
        interruption = owned.enter_context(interruptible(builder.hurry))
        try:
            with closing(open_display(mode, _STDERR, os.environ)) as display:
                events = MergedEvents(display)
                outcomes = builder.build_all(requests, events.of, interruption.cancel)
        except Cancelled as error:
            return interruption.exit_status(error)
        except LaminaError:
            if mode not in ("quiet", "rawjson"):
                show_warnings(events.warnings)  # they may explain it
            raise
        if mode not in ("quiet", "rawjson"):
            show_warnings(events.warnings)
    if metadata_file:
        _write_metadata(metadata_file, outcomes)
    return 0


def _write_metadata(path: str, outcomes: Mapping[str, BuildOutcome]) -> None:
    from lamina.cli.result_files import write_file

    document = {name: dict(outcome.metadata) for name, outcome in sorted(outcomes.items())}
    write_file(path, json.dumps(document, indent=2))
