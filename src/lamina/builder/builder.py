"""`Builder`: builds, images and records of a store of this machine, or builds of a daemon."""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from lamina.base.errors import Cancelled, InvalidInput, Unavailable, Unsupported
from lamina.base.named_tuple import NamedTuple
from lamina.builder.options import check_context
from lamina.builder.owning_process import OwningProcess
from lamina.builder.preparing import prepare
from lamina.builder.running import Running
from lamina.cli.opening import default_root
from lamina.client.contract import PruneRequest
from lamina.states.arguments import (
    BYTES,
    INTEGER,
    NUMBER,
    PATH,
    SWITCH,
    TEXT,
    checked,
    optional,
)
from lamina.states.caller import at_caller

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import IO, Unpack

    from lamina.base.events import Event, EventSink
    from lamina.base.usage import CacheRecord, UsageFilter
    from lamina.builder.bake import BakeOptions
    from lamina.builder.containers import CompletedContainer, Container, RunOptions
    from lamina.builder.engine_client import EngineClient
    from lamina.builder.explaining import BuildExplanation
    from lamina.builder.options import BuildOptions
    from lamina.builder.preparing import Context
    from lamina.client.build_history import BuildHistory
    from lamina.client.contract import Builder as EngineBuilder
    from lamina.client.contract import BuildOutcome, ImageSummary, PruneOutcome
    from lamina.records.plan import BuildPlan
    from lamina.records.rows import RecordRow
    from lamina.states.state import State
    from lamina.system.cancel import Cancellation


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


def result_of(outcome: BuildOutcome) -> BuildResult:
    return BuildResult(outcome.image_id, outcome.metadata)


class RunningBuild(Running[BuildResult]):
    """A build that runs. See `Running`."""


class RunningBake(Running["Mapping[str, BuildResult]"]):
    """Builds of bake targets that run. See `Running`."""


@checked(address=TEXT, root=PATH)
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
        engine: EngineBuilder,
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
        self._process = OwningProcess()
        self._closed = False

    def close(self) -> None:
        """Disconnect. Builds that run are cancelled. May be called twice."""
        if not self._closed and self._process.is_current:
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
        check_context(context, options)

        def work(events: EventSink, cancel: Cancellation) -> BuildResult:
            with self._open(), ExitStack() as owned:
                request, frontend = prepare(context, options, self, owned)
                if frontend is None:
                    return result_of(self._engine.build(request, events, cancel))
                outcome = self._engine.build_in_client(request, frontend, events, cancel)
            return result_of(outcome)

        return RunningBuild(work)

    def bake(self, *targets: str, **options: Unpack[BakeOptions]) -> Mapping[str, BuildResult]:
        """Build targets of bake files at the same time, and wait for them.

        Args:
            targets: names of targets and groups, by default `default`.
            options: see `BakeOptions`.

        Returns the results by the names of the targets. The first target that fails stops the
        others. Raises NotFound, PermissionDenied (a privilege that `allow` does not grant),
        Unsupported.
        """
        return self.start_bake(*targets, **options).result(options.get("on_event"))

    def start_bake(self, *targets: str, **options: Unpack[BakeOptions]) -> RunningBake:
        """Start the builds of targets. Iterate over it for their events. Arguments are as of
        `bake`."""
        self._check()
        from lamina.builder.bake import bake_requests, check_bake
        from lamina.client.merged_events import MergedEvents

        check_bake(targets, options)

        def work(events: EventSink, cancel: Cancellation) -> Mapping[str, BuildResult]:
            with self._open(), ExitStack() as owned:
                requests = bake_requests(targets, options, owned)
                outcomes = self._engine.build_all(requests, MergedEvents(events).of, cancel)
            return {name: result_of(outcome) for name, outcome in outcomes.items()}

        return RunningBake(work)

    def plan(self, context: Context = ".", /, **options: Unpack[BuildOptions]) -> BuildPlan:
        """What `build` would do: the steps that would run, why, and how long they took before.

        Raises Unsupported for a buildkitd, and for states in a daemon.
        """
        return self.start_plan(context, **options).result()

    def start_plan(
        self, context: Context = ".", /, **options: Unpack[BuildOptions]
    ) -> Running[BuildPlan]:
        """Start `plan`."""
        self._check()
        check_context(context, options)

        def work(_: EventSink, cancel: Cancellation) -> BuildPlan:
            with self._open(), ExitStack() as owned:
                request, frontend = prepare(context, options, self, owned)
                if frontend is None:
                    return self._engine.plan(request, cancel)
                return self._store("plan builds of states").plan_in_client(
                    request, frontend, cancel
                )

        return Running(work)

    @checked(build=TEXT, against=optional(TEXT), step=TEXT)
    def explain(
        self, build: str = "", *, against: str | None = None, step: str = ""
    ) -> BuildExplanation:
        """Why the steps of a build ran, and were not cached.

        Args:
            build: the ref of its record, or a name as of `lamina explain`; by default the latest.
            against: the build to compare with, by default the latest earlier one of the target.
            step: a number or a part of the name of a step, by default all that ran.

        Raises NotFound, and InvalidInput if the build still runs.
        """
        self._check()
        from lamina.builder.explaining import explain

        with self._history() as history:
            return explain(history, build, against, step)

    @checked()
    def images(self) -> Sequence[ImageSummary]:
        """The images of the store, newest first."""
        return self._store("list images").images()

    @checked(image=TEXT)
    def inspect(self, image: str) -> Mapping[str, Any]:
        """An image of the store as a JSON document. Raises NotFound."""
        return self._store("inspect images").inspect(image)

    @checked(image=TEXT)
    def remove_image(self, image: str) -> ImageSummary:
        """Remove a name, or an image by (the start of) its digest. Raises NotFound."""
        return self._store("remove images").remove_image(image)

    def pull(
        self,
        image: str,
        *,
        platform: str = "",
        on_event: Callable[[Event], object] | None = None,
    ) -> ImageSummary:
        """Pull an image into the store. Raises NotFound, PermissionDenied, Unavailable."""
        return self.start_pull(image, platform).result(on_event)

    @checked(image=TEXT)
    def start_pull(self, image: str, platform: str = "") -> Running[ImageSummary]:
        """Start `pull`."""
        local = self._store("pull images")

        def work(events: EventSink, cancel: Cancellation) -> ImageSummary:
            with self._open():
                return local.pull(image, platform=platform, events=events, cancel=cancel)

        return Running(work)

    def push(
        self,
        image: str,
        *,
        insecure: bool = False,
        on_event: Callable[[Event], object] | None = None,
    ) -> Mapping[str, Any]:
        """Push an image of the store. `insecure` allows plain HTTP and unknown certificates.

        Returns what `--metadata-file` gets. Raises NotFound, PermissionDenied, Unavailable.
        """
        return self.start_push(image, insecure).result(on_event)

    @checked(image=TEXT, insecure=SWITCH)
    def start_push(self, image: str, insecure: bool = False) -> Running[Mapping[str, Any]]:
        """Start `push`."""
        local = self._store("push images")

        def work(events: EventSink, cancel: Cancellation) -> Mapping[str, Any]:
            with self._open():
                return local.push(image, insecure=insecure, events=events, cancel=cancel)

        return Running(work)

    @checked()
    def image(self, name: str) -> State:
        """An image of this builder's store as a state. Only this builder can build it.

        Raises NotFound.
        """
        document = self._store("use images of its store").inspect(name)
        from lamina.states.sources import stored_image

        return stored_image(name, str(document["digest"]), owner=self)

    @checked(input=optional(BYTES), timeout=optional(NUMBER))
    def run(
        self,
        image: str,
        command: Sequence[str] = (),
        *,
        input: bytes | None = None,
        timeout: float | None = None,
        **options: Unpack[RunOptions],
    ) -> CompletedContainer:
        """Run a container of an image of the store, and wait for its end.

        Args:
            command: the arguments, by default those of the image.
            input: what standard input holds.
            timeout: in seconds; then the container is stopped, and TimeoutError raised.
            options: see `RunOptions`.

        Raises NotFound.
        """
        with self.start_container(
            image,
            command,
            stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
            **options,
        ) as container:
            return container.communicate(input, timeout)

    @checked()
    def start_container(
        self,
        image: str,
        command: Sequence[str] = (),
        *,
        stdin: int | IO[bytes] | None = subprocess.DEVNULL,
        stdout: int | IO[bytes] | None = subprocess.PIPE,
        stderr: int | IO[bytes] | None = subprocess.PIPE,
        **options: Unpack[RunOptions],
    ) -> Container:
        """Start a container of an image of the store.

        Args:
            command: the arguments, by default those of the image.
            stdin, stdout, stderr: as for `subprocess.Popen`.
            options: see `RunOptions`.

        Raises InvalidInput. A missing image is an error when the container has ended.
        """
        self._store("run containers")
        from lamina.builder.containers import Container, run_request

        interactive = stdin is not subprocess.DEVNULL
        request = run_request(image, command, options, interactive=interactive)
        return Container(self._root, request, stdin=stdin, stdout=stdout, stderr=stderr)

    @checked()
    def history(self) -> Sequence[RecordRow]:
        """The records of builds, the newest first."""
        self._check()
        with self._history() as history:
            return list(history.rows())

    @checked(filters=TEXT)
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
        return self.start_prune(
            *filters, all=all, keep=keep, max_used=max_used, min_free=min_free
        ).result()

    @checked(filters=TEXT, all=SWITCH, keep=INTEGER, max_used=INTEGER, min_free=INTEGER)
    def start_prune(
        self,
        *filters: str,
        all: bool = False,
        keep: int = 0,
        max_used: int = 0,
        min_free: int = 0,
    ) -> Running[PruneOutcome]:
        """Start `prune`."""
        self._check()
        request = PruneRequest(_filter(filters), all, keep, max_used, min_free)

        def work(_: EventSink, cancel: Cancellation) -> PruneOutcome:
            with self._open():
                return self._engine.prune(request, cancel)

        return Running(work)

    def _store(self, doing: str) -> EngineClient:
        self._check()
        if self._local is None:
            raise at_caller(
                Unsupported(
                    f"the daemon at {self._address} cannot {doing}",
                    hint="connect without an address to use the local store",
                )
            )
        return self._local

    def _history(self) -> AbstractContextManager[BuildHistory]:
        if self._local is None:
            from lamina.client.remote_history import open_remote_history

            return open_remote_history(self._address, self._tls)
        from lamina.client.local_history import open_local_history

        return open_local_history(self._root)

    @contextmanager
    def _open(self) -> Iterator[None]:
        """Raises Cancelled if the builder is closed during the block."""
        try:
            yield
        except Unavailable as error:
            if self._closed:
                raise Cancelled("the builder was closed") from error
            raise

    def _check(self) -> None:
        if self._closed:
            raise at_caller(
                InvalidInput("the builder is closed", hint="call lamina.connect() again")
            )
        self._process.check("builder")


def _filter(texts: Sequence[str]) -> UsageFilter:
    from lamina.cli.disk_usage import parse_filters

    return parse_filters(texts)
