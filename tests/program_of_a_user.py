"""Uses each public name as users do. Type checkers check it strictly; nothing runs it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

import lamina
from lamina.frontend import context, image_config, platform, read_directory, read_file, target


def states(version: str) -> lamina.State:
    """Every operation."""
    source = lamina.local(Path("."), include=["*.py"], exclude=["tests"])
    base = lamina.image("python:3.12", platform="linux/amd64", resolve="pull")
    mounts: list[lamina.Mount] = [
        lamina.bind(source, "/src", path="/", writable=True),
        lamina.cache("/root/.cache", id="pip", sharing="locked", source=lamina.scratch()),
        lamina.tmpfs("/tmp", size=1 << 20),
        lamina.secret("token", env="TOKEN", required=False),
        lamina.ssh("default"),
    ]
    built = base.run(
        ["make", version],
        mounts=mounts,
        env={"A": "1"},
        cwd=Path("/src"),
        network="none",
        ulimits={"nofile": (1, 2)},
        exit_codes=[0, 1],
    )
    made = (
        lamina.merge(built.diff(base), lamina.git("https://example.com/a.git#v1"))
        .copy(built.output("/src"), ["a", "b"], "/out/", mode="u=rwX", owner="1:2")
        .copy(lamina.http("https://example.com/a", checksum=""), mode=0o644)
        .copy(lamina.oci_layout("layout", tag="1"), "/etc")
        .write("/file", b"data")
        .mkdir("/directory")
        .symlink("file", "/link")
        .remove("/gone", missing_ok=True)
        .env({"A": "1"}, B="2")
        .workdir("/w")
        .user("1")
        .entrypoint(["app"])
        .cmd(["serve"])
        .label({"a": "b"})
        .expose(80, "53/udp")
        .volume("/data")
        .stop_signal("SIGINT")
        .shell(["/bin/bash", "-c"])
        .healthcheck("true", interval=1.5)
        .in_group("Compile")
    )
    contexts = {"made": made, "tool": lamina.from_build_file("build.py", target="tool")}
    return lamina.from_dockerfile(".", target="app", build_args={"V": version}, contexts=contexts)


def show(event: lamina.Event) -> None:
    match event:
        case lamina.VertexEvent():
            print(event.name, event.cached)
        case lamina.LogEvent():
            print(event.data.decode())
        case lamina.StatusEvent() | lamina.WarningEvent():
            print(event.vertex)
        case lamina.ReasonEvent() | lamina.ResourceEvent():
            pass


def builds(state: lamina.State) -> str:
    """Every method of a builder."""
    options: lamina.BuildOptions = {
        "tags": ["app"],
        "secrets": {"a": "text", "b": b"data", "c": Path("file")},
        "platforms": ["linux/amd64"],
        "contexts": {"state": state, "directory": Path("."), "image": "docker-image://a"},
        "on_event": show,
    }
    with lamina.connect("unix:///run/buildkit/buildkitd.sock") as builder:
        result: lamina.BuildResult = builder.build(".", **options)
        with builder.start(state, outputs=["out"]) as running:
            for event in running:
                show(event)
            running.cancel()
        baked = builder.bake("app", files=[Path("a.hcl")], overrides={"*.tags": ["a"]}, push=True)
        plan: lamina.BuildPlan = builder.plan(".")
        due: list[lamina.PlannedStep] = [
            step for step in plan.steps if step.planned is lamina.Planned.DUE
        ]
        explanation: lamina.BuildExplanation = builder.explain(step="RUN")
        reasons = [step.explanation for step in explanation.steps]
        names: list[str] = [image.name for image in builder.images()]
        done: lamina.CompletedContainer = builder.run("app", ["true"], env={"A": "1"}, timeout=1.0)
        with builder.start_container("app", network="host") as container:
            status: int = container.wait()
        rows: list[str] = [row.ref for row in builder.history()]
        freed: int = builder.prune("type=regular", keep=1 << 30).reclaimed
        sizes: list[int] = [record.size for record in builder.disk_usage()]
        builder.pull("a", platform="linux/arm64", on_event=show)
        builder.push("a", insecure=True)
        builder.remove_image("a")
        builder.build(builder.image("a"))
    print(baked["app"].digest, due, reasons, names, done.stdout, status, rows, freed, sizes)
    return result.digest


async def builds_in_a_loop(state: lamina.State) -> None:
    async with lamina.aio.connect() as builder:
        await asyncio.gather(builder.build(state), builder.build(".", target="app"))
        async with builder.start_bake("app") as running:
            async for event in running:
                show(event)
            results = await running.result()
        print(results["app"].image_id, await builder.explain(), await builder.plan(state))
        print((await builder.run("a", ["b"], input=b"c")).exit_code, await builder.history())


@target
def app(mode: Literal["debug", "release"] = "debug", jobs: int = 1) -> lamina.State:
    """A target."""
    config = image_config("busybox")
    names = list(read_directory("."))
    return (
        lamina.image("busybox")
        .copy(context("src"))
        .label(
            {
                "v": read_file("V").decode(),
                "p": platform(),
                "n": str(names),
                "m": mode,
                "j": str(jobs),
            }
        )
        .env(CMD=str(config["config"]))
    )


@target(default=True)
def other() -> lamina.State:
    return app(jobs=2)


def progress(builder: lamina.Builder, error: lamina.LaminaError) -> None:
    with lamina.terminal_progress("plain") as display:
        builder.build(".", on_event=display)
    builder.build(".", on_event=lamina.NotebookProgress())
    if isinstance(error, lamina.CommandFailed):
        print(error.exit_code, error.hint, error.location)


def image_test(build_image: lamina.testing.BuildImage) -> None:
    image: lamina.testing.TestedImage = build_image(".", target="app")
    assert image.run(["app"], user="1").stdout == b"" and image.config["User"] == "app"
    with image.serve(port=80, hostname="a") as service:
        assert service.output
