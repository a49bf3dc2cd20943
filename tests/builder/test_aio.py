"""The builder for asyncio."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import lamina

if TYPE_CHECKING:
    from pathlib import Path


def test_builds_side_by_side(root: Path, base: lamina.State) -> None:
    async def run() -> None:
        async with lamina.aio.connect(root=root) as builder:
            results = await asyncio.gather(
                *(builder.build(base.run(f"echo {n} > /n"), tags=[f"aio{n}"]) for n in range(2))
            )
            assert len({result.digest for result in results}) == 2
            done = await builder.run("aio1", ["cat", "/n"])
            assert done.stdout == b"1\n"
            assert await builder.history()
            assert await builder.images()
            assert (await builder.inspect("aio1"))["config"]
            await builder.remove_image("aio0")

    asyncio.run(run())


def test_cancelling_the_task_cancels_the_build(root: Path, base: lamina.State) -> None:
    async def run() -> None:
        async with lamina.aio.connect(root=root) as builder:
            running = builder.start(base.run("echo asleep; sleep 300"))
            task = asyncio.create_task(running.result())
            async for event in running:
                if isinstance(event, lamina.LogEvent):
                    break
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert running.done

    asyncio.run(run())


def test_a_timeout(root: Path, base: lamina.State) -> None:
    async def run() -> None:
        async with lamina.aio.connect(root=root) as builder:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await builder.build(base.run("sleep 300"))

    asyncio.run(run())


def test_events_in_the_loop(root: Path, base: lamina.State) -> None:
    async def run() -> list[bytes]:
        logs: list[bytes] = []

        def note(event: object) -> None:
            asyncio.get_running_loop()
            if isinstance(event, lamina.LogEvent):
                logs.append(event.data)

        async with lamina.aio.connect(root=root) as builder:
            await builder.build(base.run("echo aio events"), on_event=note)
        return logs

    assert b"".join(asyncio.run(run())) == b"aio events\n"


def test_errors(root: Path, base: lamina.State) -> None:
    async def run() -> None:
        async with lamina.aio.connect(root=root) as builder:
            with pytest.raises(lamina.CommandFailed):
                await builder.build(base.run("exit 1"))
        with pytest.raises(lamina.InvalidInput, match="closed"):
            await builder.images()
        with pytest.raises(lamina.InvalidInput, match="not connected"):
            await lamina.aio.connect(root=root).images()

    asyncio.run(run())


def test_the_other_methods(root: Path, base: lamina.State, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY file /\n")
    (tmp_path / "bake.hcl").write_text(f'target "default" {{ context = "{tmp_path}" }}')

    async def run() -> None:
        async with lamina.aio.connect(root=root) as builder:
            events: list[lamina.Event] = []
            options: lamina.BakeOptions = {
                "files": [tmp_path / "bake.hcl"],
                "allow": [f"fs.read={tmp_path}"],
            }
            heard: lamina.BakeOptions = {**options, "on_event": events.append}
            results = await builder.bake(**heard)
            assert set(results) == {"default"} and events
            async with builder.start_bake(**options) as running:
                assert [event async for event in running]
                assert (await running.result())["default"].digest == results["default"].digest
            assert (await builder.plan(tmp_path)).steps
            assert (await builder.plan(base.run("true"))).steps
            assert (await builder.explain()).ref == (await builder.history())[0].ref
            await builder.build(base, tags=["aio"])
            state = await builder.image("aio")
            await builder.build(state.run("true"))
            with pytest.raises(TimeoutError):
                await builder.run("aio", ["sleep", "60"], timeout=0.1)
            assert await builder.disk_usage()
            assert (await builder.prune("type=source.git.checkout")).records == ()
            with pytest.raises(lamina.LaminaError):
                await builder.pull("127.0.0.1:1/none")
            with pytest.raises(lamina.NotFound):
                await builder.push("127.0.0.1:1/none")

    asyncio.run(run())
