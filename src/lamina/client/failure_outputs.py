"""`--output-on-failure`: extracts files of a failed step, such as test reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.digest import digest_of
from lamina.base.errors import InvalidInput, LaminaError
from lamina.base.events import WarningEvent
from lamina.engine.outputs.failed_files import failed_files, files_below
from lamina.exporters.attributes import make_output
from lamina.exporters.local_receiver import LocalReceiver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.client.contract import OutputSpec
    from lamina.engine.build import Build
    from lamina.exporters.destination import Output

_PATH = "path"


class FailureOutputs:
    """The outputs of one build. The constructor raises InvalidInput."""

    def __init__(self, wanted: Sequence[OutputSpec]) -> None:
        self._outputs: list[tuple[str, Output]] = []
        for spec in wanted:
            pairs = dict(spec.attributes)
            path = pairs.pop(_PATH, "")
            if path and not path.startswith("/"):
                raise InvalidInput(
                    f"--output-on-failure: path={path} is not absolute",
                    hint="give the path in the container, for example path=/app/reports",
                )
            self._outputs.append((path, make_output({"type": spec.type, **pairs})))

    def write(self, build: Build, error: LaminaError) -> None:
        """Write the outputs. What goes wrong is a warning: the build's own error matters more."""
        ref = None if error.step is None else failed_files(error.step)
        if ref is None:
            _warn(build, "no step of the build has failed that left files")
            return
        for path, output in self._outputs:
            try:
                files = ref
                if path:
                    files = files_below(ref, path, build.refs, build.events, build.cancel)
                build.export_files(files, [output], LocalReceiver(build.cancel))
            except LaminaError as failure:
                _warn(build, failure.reason)


def _warn(build: Build, reason: str) -> None:
    text = f"--output-on-failure: {reason}"
    build.events(WarningEvent(digest_of(text.encode("utf-8", "surrogateescape")), text))
