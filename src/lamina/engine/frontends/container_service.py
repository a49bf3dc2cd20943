"""The part of the gateway API about containers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from lamina.api import container as api
from lamina.api import gateway
from lamina.base.errors import NotFound
from lamina.engine.frontends.container_files import (
    read_mounted_file,
    read_mounted_folder,
    stat_mounted_file,
)
from lamina.engine.frontends.containers import GatewayContainers
from lamina.engine.frontends.exec_process import ExecStream
from lamina.engine.frontends.wire_stat import wire_stat

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.engine.frontends.containers import FindRef
    from lamina.engine.frontends.contract import FrontendBuild
    from lamina.system.cancel import Cancellation
    from lamina.wire.contract import ServerCall


class ContainerService:
    """Serves one frontend.

    Args:
        find: returns the result with an ID that the frontend knows.
    """

    def __init__(self, build: FrontendBuild, find: FindRef) -> None:
        self._containers = GatewayContainers(build, find)
        self._lock = threading.Lock()
        self._streams: set[ExecStream] = set()

    def served(self) -> dict[str, tuple[type, Callable[[Any, Cancellation], Any]]]:
        """The calls with one request and one response: the type of the request, and the handler."""
        return {
            gateway.NEW_CONTAINER: (api.NewContainerRequest, self.new_container),
            gateway.RELEASE_CONTAINER: (api.ReleaseContainerRequest, self.release_container),
            gateway.READ_FILE_CONTAINER: (gateway.ReadFileRequest, self.read_file),
            gateway.READ_DIR_CONTAINER: (gateway.ReadDirRequest, self.read_dir),
            gateway.STAT_FILE_CONTAINER: (gateway.StatFileRequest, self.stat_file),
        }

    def exec_process(self, call: ServerCall) -> None:
        stream = ExecStream(call, self._containers)
        with self._lock:
            self._streams.add(stream)
        try:
            stream.serve()
        finally:
            with self._lock:
                self._streams.discard(stream)

    def close(self, seconds: float) -> None:
        """Release all containers; no more can be created.

        Args:
            seconds: how long clients may take to receive the outcomes of their processes.
        """
        self._containers.close()
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            stream.end(seconds)

    def new_container(
        self, request: api.NewContainerRequest, cancel: Cancellation
    ) -> api.NewContainerResponse:
        self._containers.create(request, cancel)
        return api.NewContainerResponse()

    def release_container(
        self, request: api.ReleaseContainerRequest, _: Cancellation
    ) -> api.ReleaseContainerResponse:
        self._containers.release(request.container_id)
        return api.ReleaseContainerResponse()

    def read_file(
        self, request: gateway.ReadFileRequest, _: Cancellation
    ) -> gateway.ReadFileResponse:
        offset, length = request.range or (0, 0)
        root = self._mount(request.ref, request.mount_index)
        return gateway.ReadFileResponse(read_mounted_file(root, request.file_path, offset, length))

    def read_dir(self, request: gateway.ReadDirRequest, _: Cancellation) -> gateway.ReadDirResponse:
        root = self._mount(request.ref, request.mount_index)
        found = read_mounted_folder(root, request.dir_path, request.include_pattern)
        return gateway.ReadDirResponse(tuple(map(wire_stat, found)))

    def stat_file(
        self, request: gateway.StatFileRequest, _: Cancellation
    ) -> gateway.StatFileResponse:
        root = self._mount(request.ref, request.mount_index)
        return gateway.StatFileResponse(wire_stat(stat_mounted_file(root, request.path)))

    def _mount(self, container_id: str, index: int) -> str:
        """The path on the host of a container's mount. Raises NotFound, InvalidInput."""
        found = self._containers.find(container_id)
        if found is None:
            raise NotFound(f"container details for {container_id}@{index} not found")
        return found.root(index)
