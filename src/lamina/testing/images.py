"""Images that tests run, read and start."""

from __future__ import annotations

import fnmatch
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lamina.base.errors import InvalidInput, NotFound, Unavailable
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Unpack

    from lamina.builder.builder import Builder
    from lamina.builder.containers import CompletedContainer, Container, RunOptions
    from lamina.builder.options import BuildOptions
    from lamina.builder.preparing import Context

_READY_SECONDS = 30.0
_PERIOD = 0.05


class FileStatus(NamedTuple):
    """A file of an image. `target` is that of a symbolic link, "" for other files."""

    mode: int
    uid: int
    gid: int
    size: int
    target: str = ""


class TestedImage:
    """An image that was built for a test. Made by the fixture `build_image`."""

    __test__ = False  # not a class of tests

    def __init__(
        self,
        builder: Builder,
        context: Context,
        options: BuildOptions,
        temporary: Callable[[str], Path],
    ) -> None:
        if options.get("outputs") or options.get("push") or options.get("load"):
            raise InvalidInput("an image for a test has no outputs", hint="use Builder.build")
        if len(options.get("platforms", ())) > 1:
            raise InvalidInput("an image for a test has one platform")
        self._builder = builder
        self._context = context
        self._options = options
        self._temporary = temporary
        self._files: str | None = None
        self.result = builder.build(context, **options)

    @property
    def id(self) -> str:
        """The digest of the image, by which the store knows it."""
        return self.result.image_id

    @property
    def config(self) -> Mapping[str, Any]:
        """The image configuration's `config` (`Env`, `Cmd`, `User`, …)."""
        document = self._builder.inspect(self.id)
        settings: Mapping[str, Any] = document["config"].get("config") or {}
        return settings

    def run(
        self,
        command: Sequence[str] = (),
        *,
        input: bytes | None = None,
        timeout: float | None = None,
        **options: Unpack[RunOptions],
    ) -> CompletedContainer:
        """Run a command in a container, and wait for its end. See `Builder.run`."""
        return self._builder.run(self.id, command, input=input, timeout=timeout, **options)

    def read(self, path: str) -> bytes:
        """The content of a file. Raises NotFound. Links are followed within the image."""
        from lamina.system.mount_tree import open_in_root

        try:
            fd = open_in_root(self._tree(), path)
        except OSError:
            raise NotFound(f"{path} is not in the image") from None
        try:
            with open(f"/proc/self/fd/{fd}", "rb") as file:
                return file.read()
        except IsADirectoryError:
            raise NotFound(f"{path} is a directory") from None
        finally:
            os.close(fd)

    def stat(self, path: str) -> FileStatus:
        """The status of a file. A link is not followed. Raises NotFound."""
        place = os.path.join(self._tree(), path.lstrip("/"))
        try:
            status = os.lstat(place)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"{path} is not in the image") from None
        target = os.readlink(place) if os.path.islink(place) else ""
        return FileStatus(status.st_mode, status.st_uid, status.st_gid, status.st_size, target)

    def files(self, pattern: str = "*") -> list[str]:
        """The absolute paths of all files but directories, sorted, that match a pattern.

        `*` matches slashes too, as in `fnmatch`.
        """
        root = self._tree()
        found = []
        for directory, _, names in os.walk(root):
            below = os.path.relpath(directory, root)
            for name in names:
                path = "/" + os.path.normpath(os.path.join(below, name))
                if fnmatch.fnmatchcase(path, pattern):
                    found.append(path)
        return sorted(found)

    @contextmanager
    def serve(
        self,
        command: Sequence[str] = (),
        *,
        port: int = 0,
        ready: Callable[[], bool] | None = None,
        timeout: float = _READY_SECONDS,
        **options: Unpack[RunOptions],
    ) -> Iterator[Service]:
        """Run a container as a service during the block. It uses the network of this machine.

        Args:
            port: the TCP port on which it listens. The block begins when it accepts connections.
            ready: called until it returns True, in place of a port.
            timeout: how long the service may take to be ready, in seconds.
            options: see `RunOptions`. The network is that of this machine by default.

        Raises Unavailable, with the output, if the service ends or is not ready in time.
        """
        options.setdefault("network", "host")
        log = os.path.join(self._temporary("service"), "log")
        with (
            open(log, "wb") as output,
            self._builder.start_container(
                self.id, command, stdout=output, stderr=subprocess.STDOUT, **options
            ) as container,
        ):
            service = Service(container, log)
            service.wait(ready or (lambda: not port or _accepts(port)), timeout)
            yield service

    def close(self) -> None:
        """Remove the copy of the files."""
        if self._files is not None:
            shutil.rmtree(self._files, ignore_errors=True)
            self._files = None

    def _tree(self) -> str:
        """A directory with the files of the image."""
        if self._files is None:
            self._files = str(self._temporary("image"))
            options: BuildOptions = {**self._options, "outputs": [self._files], "tags": []}
            self._builder.build(self._context, **options)
        return self._files


class Service:
    """A running container of `TestedImage.serve`."""

    def __init__(self, container: Container, log: str) -> None:
        self.container = container
        self._log = log

    @property
    def output(self) -> str:
        """What it has printed so far."""
        with open(self._log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait(self, ready: Callable[[], bool], timeout: float) -> None:
        """Wait until it is ready. Raises Unavailable."""
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.container.running:
                raise Unavailable(f"the service ended before it was ready:\n{self.output}")
            if time.monotonic() > deadline:
                raise Unavailable(f"the service is not ready after {timeout} s:\n{self.output}")
            time.sleep(_PERIOD)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
