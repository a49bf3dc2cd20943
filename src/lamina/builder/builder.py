"""`Builder`: builds, images and records of a store of this machine, or builds of a daemon."""

from __future__ import annotations

import io
import os
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from lamina.base.errors import InvalidInput, Unsupported
from lamina.base.named_tuple import NamedTuple
from lamina.builder.graphs import (
    context_of,
    directories_of,
    frontend_of_dockerfile,
    frontend_of_state,
)
from lamina.builder.options import BuildOptions, named_contexts, request_of, states_of
from lamina.builder.running import Running
from lamina.cli import values
from lamina.cli.context import open_context
from lamina.cli.opening import default_root
from lamina.cli.run_command import parse_volume
from lamina.client.contract import PruneRequest, RunRequest
from lamina.states.state import State
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import IO, Unpack

    from lamina.base.events import Event, EventSink
    from lamina.base.usage import CacheRecord, UsageFilter
    from lamina.builder.containers import CompletedContainer, Container
    from lamina.builder.engine_client import EngineClient
    from lamina.client.build_history import BuildHistory
    from lamina.client.contract import (
        BuildRequest,
        BuildRunner,
        ClientFrontend,
        ImageSummary,
        PruneOutcome,
    )
    from lamina.records.plan import BuildPlan
    from lamina.records.rows import RecordRow

Context = str | os.PathLike[str] | State


class BuildResult(NamedTuple):
    """The result of a build.

    `image_id` is the digest by which the builder's store and `docker run` know the image, "" if no
    output is an image. `metadata` is what `lamina build --metadata-file` writes
    (`containerimage.digest`, `image.name`, …).
    """

    image_id: str
    metadata: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """The digest of the manifest or index, "" if no output is an image."""
        return str(self.metadata.get("containerimage.digest", ""))


class RunningBuild(Running[BuildResult]):
    """A build that runs. See `Running`."""


def connect(
    address: str = "",
    *,
    root: str | os.PathLike[str] = "",
    tls: ssl.SSLContext | None = None,
) -> Builder:
    """Connect to a builder. Use it in a `with` block, or close it.

    Args:
        address: the address of a lamina daemon or a buildkitd (`unix:///path`, `tcp://host:port`),
            "" for an engine of this process.
        root: the directory of the engine's store, by default that of the command `lamina`.
        tls: for `tcp://`.

    Raises InvalidInput, NotFound, PermissionDenied, Unavailable.
    """
    if address and root:
        raise InvalidInput("address and root cannot be combined", hint="a daemon has its own store")
    if address:
        from lamina.client.remote import RemoteBuilder, open_channel

        channel = open_channel(address, tls)
        return Builder(RemoteBuilder(channel, address), channel.close, address=address, tls=tls)
    from lamina.builder.engine_client import EngineClient

    path = os.path.abspath(root) if root else default_root(os.environ)
    engine = EngineClient(path)
    builder = Builder(engine, engine.close, local=engine, root=path)
    try:
        builder.images()  # errors of the store are raised here
    except BaseException:
        builder.close()
        raise
    return builder


class Builder:
    """A connected builder. Thread-safe. Made by `connect`.

    All methods raise `LaminaError`: InvalidInput for wrong arguments and for a closed builder,
    CommandFailed if a command of a build failed, Cancelled, Unavailable if the engine has gone, and
    others that they name.
    """

    def __init__(
        self,
        engine: BuildRunner,
        close: Callable[[], None],
        *,
        local: EngineClient | None = None,
        root: str = "",
        address: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._engine = engine
        self._close = close
        self._local = local
        self._root = root
        self._address = address
        self._tls = tls
        self._pid = os.getpid()
        self._closed = False

    def close(self) -> None:
        """Disconnect. Builds that run are cancelled. May be called twice."""
        if not self._closed and os.getpid() == self._pid:
            self._closed = True
            self._close()

    def __enter__(self) -> Builder:
        self._check()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def build(self, context: Context = ".", /, **options: Unpack[BuildOptions]) -> BuildResult:
        """Build an image, and wait for it.

        Args:
            context: a directory with a Dockerfile, the URL of a repository, or a `State`.
            options: see `BuildOptions`.

        Raises NotFound, PermissionDenied, Exhausted, Corrupt, Unsupported.
        """
        return self.start(context, **options).result(options.get("on_event"))

    def start(self, context: Context = ".", /, **options: Unpack[BuildOptions]) -> RunningBuild:
        """Start a build. Iterate over it for its events. Arguments are as of `build`."""
        self._check()
        request = request_of(options)

        def work(events: EventSink, cancel: Cancellation) -> BuildResult:
            with ExitStack() as owned:
                made, frontend = self._prepared(context, options, request, owned)
                if frontend is None:
                    outcome = self._engine.build(made, events, cancel)
                else:
                    outcome = self._engine.build_in_client(made, frontend, events, cancel)
            return BuildResult(outcome.image_id, outcome.metadata)

        return RunningBuild(work)

    def plan(
        self, context: str | os.PathLike[str] = ".", /, **options: Unpack[BuildOptions]
    ) -> BuildPlan:
        """What `build` would do: the steps that would run, why, and how long they took before."""
        local = self._store("plan builds")
        request = request_of(options)
        with ExitStack() as owned:
            made, frontend = self._prepared(context, options, request, owned)
            if frontend is not None:
                raise Unsupported("builds with states cannot be planned")
            return local.plan(made, Cancellation())

    def images(self) -> Sequence[ImageSummary]:
        """The images of the store, newest first."""
        return self._store("list images").images()

    def inspect(self, image: str) -> Mapping[str, Any]:
        """An image of the store as a JSON document. Raises NotFound."""
        return self._store("inspect images").inspect(image)

    def remove_image(self, image: str) -> ImageSummary:
        """Remove a name, or an image by (the start of) its digest. Raises NotFound."""
        return self._store("remove images").remove_image(image)

    def pull(
        self,
        image: str,
        *,
        platform: str = "",
        on_event: Callable[[Event], None] | None = None,
    ) -> ImageSummary:
        """Pull an image into the store. Raises NotFound, PermissionDenied, Unavailable."""
        local = self._store("pull images")
        running = Running(
            lambda events, cancel: local.pull(
                image, platform=platform, events=events, cancel=cancel
            )
        )
        return running.result(on_event)

    def push(
        self,
        image: str,
        *,
        insecure: bool = False,
        on_event: Callable[[Event], None] | None = None,
    ) -> Mapping[str, Any]:
        """Push an image of the store. `insecure` allows plain HTTP and unknown certificates.

        Returns what `--metadata-file` gets. Raises NotFound, PermissionDenied, Unavailable.
        """
        local = self._store("push images")
        running = Running(
            lambda events, cancel: local.push(
                image, insecure=insecure, events=events, cancel=cancel
            )
        )
        return running.result(on_event)

    def image(self, name: str) -> State:
        """An image of this builder's store as a state. Only this builder can build it.

        Raises NotFound.
        """
        document = self._store("use images of its store").inspect(name)
        from lamina.states.sources import stored_image

        return stored_image(name, str(document["digest"]), owner=self)

    def run(
        self,
        image: str,
        command: Sequence[str] = (),
        *,
        input: bytes | None = None,
        timeout: float | None = None,
        **settings: Any,
    ) -> CompletedContainer:
        """Run a container of an image of the store, and wait for its end.

        Args:
            command: the arguments, by default those of the image.
            input: what standard input holds.
            timeout: in seconds; then the container is stopped, and TimeoutError raised.
            settings: see `start_container`.

        Raises NotFound.
        """
        with self.start_container(
            image,
            command,
            stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
            **settings,
        ) as container:
            return container.communicate(input, timeout)

    def start_container(
        self,
        image: str,
        command: Sequence[str] = (),
        *,
        env: Mapping[str, str] | None = None,
        cwd: str = "",
        user: str = "",
        entrypoint: Sequence[str] | None = None,
        network: str = "default",
        hostname: str = "",
        volumes: Sequence[str] = (),
        readonly: bool = False,
        stdin: int | IO[bytes] | None = subprocess.DEVNULL,
        stdout: int | IO[bytes] | None = subprocess.PIPE,
        stderr: int | IO[bytes] | None = subprocess.PIPE,
    ) -> Container:
        """Start a container of an image of the store.

        Args:
            entrypoint: in place of that of the image; an empty one drops it.
            network: `default`, `none` or `host`.
            volumes: `host:container[:ro]`.
            stdin, stdout, stderr: as for `subprocess.Popen`.
        """
        self._store("run containers")
        from lamina.builder.containers import Container

        request = RunRequest(
            image,
            tuple(command),
            tuple((env or {}).items()),
            cwd,
            user,
            None if entrypoint is None else tuple(entrypoint),
            network,
            hostname,
            tuple(map(parse_volume, volumes)),
            readonly,
            interactive=stdin is not subprocess.DEVNULL,
        )
        return Container(self._root, request, stdin=stdin, stdout=stdout, stderr=stderr)

    def history(self) -> Sequence[RecordRow]:
        """The records of builds, the newest first."""
        self._check()
        with self._history() as history:
            return list(history.rows())

    def disk_usage(self, *filters: str) -> Sequence[CacheRecord]:
        """The cache records that match filters of `lamina du --filter`."""
        self._check()
        return self._engine.disk_usage(_filter(filters))

    def prune(
        self,
        *filters: str,
        all: bool = False,
        keep: int = 0,
        max_used: int = 0,
        min_free: int = 0,
    ) -> PruneOutcome:
        """Remove cache that nothing uses. The arguments are as for `lamina prune`, in bytes."""
        self._check()
        request = PruneRequest(_filter(filters), all, keep, max_used, min_free)
        return self._engine.prune(request, Cancellation())

    def _prepared(
        self,
        context: Context,
        options: BuildOptions,
        request: BuildRequest,
        owned: ExitStack,
    ) -> tuple[BuildRequest, ClientFrontend | None]:
        """The request with its context, and the frontend if it runs in this process."""
        states = states_of(options)
        if isinstance(context, State):
            for option in ("dockerfile", "target", "build_args", "contexts"):
                if options.get(option):
                    raise InvalidInput(
                        f"{option} is an option of Dockerfiles", hint="use from_dockerfile()"
                    )
            made = request._replace(context=context_of((context,), self))
            return made, frontend_of_state(context, request)
        dockerfile = options.get("dockerfile", "")
        stdin = io.BytesIO(dockerfile if isinstance(dockerfile, bytes) else b"")
        named = tuple(map(values.parse_context, named_contexts(options)))
        spec = owned.enter_context(
            open_context(
                os.fspath(context),
                "-" if isinstance(dockerfile, bytes) else _beside(context, dockerfile),
                named,
                stdin,
                request.providers,
                fetched=False,
            )
        )
        if not states:
            return request._replace(context=spec), None
        spec = spec._replace(named=(*spec.named, *directories_of(states.values(), self)))
        made = request._replace(context=spec)
        return made, frontend_of_dockerfile(states, request)

    def _store(self, doing: str) -> EngineClient:
        self._check()
        if self._local is None:
            raise Unsupported(
                f"the daemon at {self._address} cannot {doing}",
                hint="connect without an address to use the local store",
            )
        return self._local

    def _history(self) -> AbstractContextManager[BuildHistory]:
        if self._local is None:
            from lamina.client.remote_history import open_remote_history

            return open_remote_history(self._address, self._tls)
        from lamina.client.local_history import open_local_history

        return open_local_history(self._root)

    def _check(self) -> None:
        if self._closed:
            raise InvalidInput("the builder is closed", hint="call lamina.connect() again")
        if os.getpid() != self._pid:
            raise InvalidInput(
                "the builder belongs to the process that this one was forked from",
                hint="call lamina.connect() in the child process",
            )


def _beside(context: str | os.PathLike[str], dockerfile: str | os.PathLike[str]) -> str:
    """A Dockerfile's path relative to the context, as `--file` takes it."""
    name = os.fspath(dockerfile)
    path = os.fspath(context)
    if not name or os.path.isabs(name) or not os.path.isdir(path):
        return name
    return os.path.join(path, name)


def _filter(texts: Sequence[str]) -> UsageFilter:
    from lamina.cli.disk_usage import parse_filters

    return parse_filters(texts)
