"""The outputs of a build in a daemon: exporters, and receivers of files."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.api.control import Exporter
from lamina.base.errors import InvalidInput, LaminaError, NotFound
from lamina.client.outputs import wanted_outputs
from lamina.exporters.attributes import make_output
from lamina.exporters.destination import (
    ArchiveOutput,
    CacheOnlyOutput,
    LoadOutput,
    LocalOutput,
    TarOutput,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from lamina.client.contract import BuildRequest
    from lamina.exporters.destination import Output
    from lamina.session.output_services import ByteSink, Target
    from lamina.system.cancel import Cancellation
    from lamina.wire.contract import Handler

_STORE = "export"
_OURS = ("dest", "context", "tar", "mode")


class RemoteOutputs:
    """The outputs of one request. Raises InvalidInput, Unsupported, as embedded builds do.

    `exporters` are those of the request to the daemon, in order. `stores` are the layouts that it
    writes into, by their names in the session. `failure` is the local error while an output was
    received, if there was one.
    """

    def __init__(self, request: BuildRequest, cancel: Cancellation) -> None:
        self._cancel = cancel
        self._targets: dict[int, Target] = {}
        self.exporters: list[Exporter] = []
        self.stores: dict[str, str] = {}
        self.failure: LaminaError | None = None
        wanted = [
            (kind, pairs, make_output({"type": kind, **pairs}))
            for kind, pairs in wanted_outputs(request)
        ]
        # The daemon describes the last image, whose descriptor the index of a layout needs.
        for kind, pairs, made in sorted(wanted, key=lambda output: _is_layout(output[2])):
            if isinstance(made, CacheOnlyOutput):
                continue
            self._take(len(self.exporters), made)
            self.exporters.append(_exporter(kind, pairs, made))

    def handlers(self) -> dict[str, Handler]:
        """The services that receive the files."""
        if not self._targets:
            return {}
        from lamina.session.output_services import take_outputs

        return take_outputs(self._targets)

    def finish(self, metadata: Mapping[str, Any]) -> None:
        """Add the image to the index of its layout. Raises NotFound, PermissionDenied,
        Exhausted."""
        folder = self.stores.get(_STORE)
        if folder is None:
            return
        from lamina.base.oci import descriptor_from_json
        from lamina.exporters.archive import name_in_layout

        described = metadata.get("containerimage.descriptor")
        target = descriptor_from_json(described) if isinstance(described, dict) else None
        if target is None or not os.path.exists(
            os.path.join(folder, "blobs", target.digest.algorithm, target.digest.hex)
        ):
            raise NotFound(f"the daemon has not written an image to {folder}")
        names = filter(None, str(metadata.get("image.name", "")).split(","))
        name_in_layout(folder, target, tuple(names))

    def _take(self, number: int, output: Output) -> None:
        match output:
            case LocalOutput():
                from lamina.session.output_services import FolderTarget

                self._targets[number] = FolderTarget(output.dest, output.delete)
            case ArchiveOutput() if _is_layout(output):
                if _STORE in self.stores:
                    raise InvalidInput("only one --output can be a layout (tar=false)")
                os.makedirs(output.dest, exist_ok=True)
                self.stores[_STORE] = output.dest
            case ArchiveOutput() | TarOutput() | LoadOutput():
                from lamina.session.output_services import FileTarget

                self._targets[number] = FileTarget(lambda metadata: self._sink(output))

    @contextmanager
    def _sink(self, output: ArchiveOutput | TarOutput | LoadOutput) -> Iterator[ByteSink]:
        try:
            if isinstance(output, LoadOutput):
                from lamina.exporters.docker_api import DockerApi
                from lamina.exporters.docker_host import find_docker_host

                host = find_docker_host(os.environ, output.context)
                with DockerApi(host, self._cancel).loading() as sink:
                    yield sink
            else:
                from lamina.exporters.file_sink import open_sink

                with open_sink(output.dest, self._cancel) as sink:
                    yield sink
        except LaminaError as error:
            self.failure = self.failure or error
            raise


def _is_layout(output: Output) -> bool:
    return isinstance(output, ArchiveOutput) and not output.tar


def _exporter(kind: str, pairs: Mapping[str, str], made: Output) -> Exporter:
    attributes = {key: value for key, value in pairs.items() if key not in _OURS}
    if kind == "registry":
        kind = "image"
        attributes.setdefault("push", "true")
    if _is_layout(made):
        attributes["tar"] = "false"
    if isinstance(made, LocalOutput) and made.delete:
        attributes["mode"] = "delete"
    return Exporter(kind, tuple(sorted(attributes.items())))
