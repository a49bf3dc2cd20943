"""`lamina.connect()` for asyncio.

    async with lamina.aio.connect() as builder:
        result = await builder.build(".", tags=["app"])

Cancelling a task that waits for a build cancels the build. The task ends when the build has ended.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from lamina.builder.builder import connect as connect_builder

if TYPE_CHECKING:
    import os
    import ssl
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from typing import Unpack

    from lamina.base.events import Event
    from lamina.base.usage import CacheRecord
    from lamina.builder.builder import Builder, BuildResult, Context
    from lamina.builder.containers import CompletedContainer
    from lamina.builder.options import BuildOptions
    from lamina.builder.running import Running
    from lamina.client.contract import ImageSummary, PruneOutcome
    from lamina.records.plan import BuildPlan
    from lamina.records.rows import RecordRow

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
        on_event = options.get("on_event")
        if on_event is None:
            return await _ended(running)
        async with AsyncRunningBuild(running) as events:
            async for event in events:
                on_event(event)
            return await events.result()

    def start(
        self, context: Context = ".", /, **options: Unpack[BuildOptions]
    ) -> AsyncRunningBuild:
        """Start a build, to iterate over its events."""
        return AsyncRunningBuild(self._connected.start(context, **options))

    async def plan(
        self, context: str | os.PathLike[str] = ".", /, **options: Unpack[BuildOptions]
    ) -> BuildPlan:
        return await asyncio.to_thread(self._connected.plan, context, **options)

    async def images(self) -> Sequence[ImageSummary]:
        return await asyncio.to_thread(self._connected.images)

    async def inspect(self, image: str) -> Mapping[str, Any]:
        return await asyncio.to_thread(self._connected.inspect, image)

    async def remove_image(self, image: str) -> ImageSummary:
        return await asyncio.to_thread(self._connected.remove_image, image)

    async def pull(self, image: str, *, platform: str = "") -> ImageSummary:
        return await asyncio.to_thread(self._connected.pull, image, platform=platform)

    async def push(self, image: str, *, insecure: bool = False) -> Mapping[str, Any]:
        return await asyncio.to_thread(self._connected.push, image, insecure=insecure)

    async def run(
        self, image: str, command: Sequence[str] = (), **settings: Any
    ) -> CompletedContainer:
        """Run a container. Cancelling the task stops it."""
        input = settings.pop("input", None)
        container = await asyncio.to_thread(
            self._connected.start_container, image, command, **settings
        )
        ending = asyncio.create_task(asyncio.to_thread(container.communicate, input))
        try:
            return await asyncio.shield(ending)
        except asyncio.CancelledError:
            await asyncio.to_thread(container.stop)
            await ending
            raise
        finally:
            await asyncio.to_thread(container.__exit__)

    async def history(self) -> Sequence[RecordRow]:
        return await asyncio.to_thread(self._connected.history)

    async def disk_usage(self, *filters: str) -> Sequence[CacheRecord]:
        return await asyncio.to_thread(self._connected.disk_usage, *filters)

    async def prune(self, *filters: str, **limits: Any) -> PruneOutcome:
        return await asyncio.to_thread(self._connected.prune, *filters, **limits)

    @property
    def _connected(self) -> Builder:
        if self._builder is None:
            from lamina.base.errors import InvalidInput

            raise InvalidInput(
                "the builder is not connected", hint="use `async with lamina.aio.connect() as …`"
            )
        return self._builder


class AsyncRunningBuild:
    """A build that runs. Iterate over it for its events.

    Leaving its `async with` block early cancels the build and waits for its end.
    """

    def __init__(self, running: Running[BuildResult]) -> None:
        self._running = running
        self._events = iter(running)

    async def __aiter__(self) -> AsyncIterator[Event]:
        while (event := await asyncio.to_thread(next, self._events, None)) is not None:
            yield event

    async def result(self) -> BuildResult:
        """Wait for the end. Raises what stopped the build."""
        return await _ended(self._running)

    def cancel(self) -> None:
        """Stop the build. `result` then raises Cancelled, unless the build ended before."""
        self._running.cancel()

    async def __aenter__(self) -> AsyncRunningBuild:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._running.cancel()
        await _wait(self._running)


async def _ended(running: Running[R]) -> R:
    try:
        await _wait(running)
    except asyncio.CancelledError:
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
