"""`lamina.connect()` for asyncio.

    async with lamina.aio.connect() as builder:
        result = await builder.build(".", tags=["app"])

Cancelling a task that waits for a build cancels the build. The task ends when the build has ended.
"""

from __future__ import annotations

import asyncio
import subprocess
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lamina.builder.builder import connect as connect_builder

if TYPE_CHECKING:
    import os
    import ssl
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from typing import Self, Unpack

    from lamina.base.events import Event
    from lamina.base.usage import CacheRecord
    from lamina.builder.bake import BakeOptions
    from lamina.builder.builder import Builder, BuildResult
    from lamina.builder.containers import CompletedContainer, RunOptions
    from lamina.builder.explaining import BuildExplanation
    from lamina.builder.options import BuildOptions
    from lamina.builder.preparing import Context
    from lamina.builder.running import Running
    from lamina.client.contract import ImageSummary, PruneOutcome
    from lamina.records.plan import BuildPlan
    from lamina.records.rows import RecordRow
    from lamina.states.state import State

R = TypeVar("R")


def connect(
    address: str = "", *, root: str | os.PathLike[str] = "", tls: ssl.SSLContext | None = None
) -> AsyncBuilder:
    """A builder to use in an `async with` block, which connects. Arguments are as of
    `lamina.connect`."""
    return AsyncBuilder(lambda: connect_builder(address, root=root, tls=tls))


class AsyncBuilder:
    """`lamina.Builder` with coroutines. Its methods are documented there."""

    def __init__(self, open: Callable[[], Builder]) -> None:
        self._open = open
        self._builder: Builder | None = None

    async def __aenter__(self) -> AsyncBuilder:
        self._builder = await asyncio.to_thread(self._open)
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        if self._builder is not None:
            await asyncio.to_thread(self._builder.close)

    async def build(
        self, context: Context = ".", /, **options: Unpack[BuildOptions]
    ) -> BuildResult:
        """Build an image. `on_event` is called in the thread of the event loop."""
        running = self._connected.start(context, **options)
        return await _ended(running, options.get("on_event"))

    def start(
        self, context: Context = ".", /, **options: Unpack[BuildOptions]
    ) -> AsyncRunningBuild:
        """Start a build, to iterate over its events."""
        return AsyncRunningBuild(self._connected.start(context, **options))

    async def bake(
        self, *targets: str, **options: Unpack[BakeOptions]
    ) -> Mapping[str, BuildResult]:
        """Build targets of bake files. `on_event` is called in the thread of the event loop."""
        running = self._connected.start_bake(*targets, **options)
        return await _ended(running, options.get("on_event"))

    def start_bake(self, *targets: str, **options: Unpack[BakeOptions]) -> AsyncRunningBake:
        """Start the builds of targets, to iterate over their events."""
        return AsyncRunningBake(self._connected.start_bake(*targets, **options))

    async def plan(self, context: Context = ".", /, **options: Unpack[BuildOptions]) -> BuildPlan:
        return await _ended(self._connected.start_plan(context, **options))

    async def explain(
        self, build: str = "", *, against: str | None = None, step: str = ""
    ) -> BuildExplanation:
        explain = self._connected.explain
        return await asyncio.to_thread(explain, build, against=against, step=step)

    async def images(self) -> Sequence[ImageSummary]:
        return await asyncio.to_thread(self._connected.images)

    async def image(self, name: str) -> State:
        return await asyncio.to_thread(self._connected.image, name)

    async def inspect(self, image: str) -> Mapping[str, Any]:
        return await asyncio.to_thread(self._connected.inspect, image)

    async def remove_image(self, image: str) -> ImageSummary:
        return await asyncio.to_thread(self._connected.remove_image, image)

    async def pull(
        self,
        image: str,
        *,
        platform: str = "",
        on_event: Callable[[Event], object] | None = None,
    ) -> ImageSummary:
        return await _ended(self._connected.start_pull(image, platform), on_event)

    async def push(
        self,
        image: str,
        *,
        insecure: bool = False,
        on_event: Callable[[Event], object] | None = None,
    ) -> Mapping[str, Any]:
        return await _ended(self._connected.start_push(image, insecure), on_event)

    async def run(
        self,
        image: str,
        command: Sequence[str] = (),
        *,
        input: bytes | None = None,
        timeout: float | None = None,
        **options: Unpack[RunOptions],
    ) -> CompletedContainer:
        """Run a container. Cancelling the task stops it."""
        stdin = subprocess.DEVNULL if input is None else subprocess.PIPE
        container = self._connected.start_container(image, command, stdin=stdin, **options)
        ending = asyncio.create_task(asyncio.to_thread(container.communicate, input, timeout))
        try:
            return await asyncio.shield(ending)
        except asyncio.CancelledError:
            await asyncio.to_thread(container.stop)
            await asyncio.wait([ending])
            raise
        finally:
            await asyncio.to_thread(container.__exit__)

    async def history(self) -> Sequence[RecordRow]:
        return await asyncio.to_thread(self._connected.history)

    async def disk_usage(self, *filters: str) -> Sequence[CacheRecord]:
        return await asyncio.to_thread(self._connected.disk_usage, *filters)

    async def prune(
        self,
        *filters: str,
        all: bool = False,
        keep: int = 0,
        max_used: int = 0,
        min_free: int = 0,
    ) -> PruneOutcome:
        return await _ended(
            self._connected.start_prune(
                *filters, all=all, keep=keep, max_used=max_used, min_free=min_free
            )
        )

    @property
    def _connected(self) -> Builder:
        if self._builder is None:
            from lamina.base.errors import InvalidInput

            raise InvalidInput(
                "the builder is not connected", hint="use `async with lamina.aio.connect() as …`"
            )
        return self._builder


class AsyncRunning(Generic[R]):
    """Work that runs. Iterate over it for its events, which end when the work ends.

    Leaving its `async with` block early cancels the work and waits for its end.
    """

    def __init__(self, running: Running[R]) -> None:
        self._running = running
        self._events = iter(running)

    async def __aiter__(self) -> AsyncIterator[Event]:
        while (event := await asyncio.to_thread(next, self._events, None)) is not None:
            yield event

    async def result(self) -> R:
        """Wait for the end. Raises what stopped the work."""
        return await _ended(self._running)

    def cancel(self) -> None:
        """Stop the work. `result` then raises Cancelled, unless the work ended before."""
        self._running.cancel()

    @property
    def done(self) -> bool:
        """Whether the work has ended."""
        return self._running.done

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._running.cancel()
        await _wait(self._running)


class AsyncRunningBuild(AsyncRunning["BuildResult"]):
    """A build that runs. See `AsyncRunning`."""


class AsyncRunningBake(AsyncRunning["Mapping[str, BuildResult]"]):
    """Builds of bake targets that run. See `AsyncRunning`."""


async def _ended(running: Running[R], on_event: Callable[[Event], object] | None = None) -> R:
    """Wait for the end, with the events. If the task is cancelled, so is the work."""
    try:
        if on_event is not None:
            async for event in AsyncRunning(running):
                on_event(event)
        await _wait(running)
    except BaseException:
        running.cancel()
        await asyncio.shield(_wait(running))
        raise
    return running.result()


async def _wait(running: Running[Any]) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    running.add_done_callback(lambda: _notify(loop, ended))
    await ended.wait()


def _notify(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    try:
        loop.call_soon_threadsafe(ended.set)
    except RuntimeError:  # the loop was closed
        return
