"""Dockerfiles and states, in both directions."""

import os

import lamina


def tools(version: str) -> lamina.State:
    """What a Dockerfile cannot loop over: a directory with one script for each command."""
    made = lamina.scratch().mkdir("/tools")
    for name in ("start", "stop", "status"):
        script = f"#!/bin/sh\necho {name} {version}\n"
        made = made.write(f"/tools/{name}", script, mode=0o755)
    return made


base = lamina.image(os.environ.get("BASE", "busybox"))

with lamina.connect() as builder:
    # The Dockerfile says COPY --from=tools, and FROM base.
    builder.build("dockerfile", contexts={"tools": tools("1.4"), "base": base}, tags=["with-tools"])
    print(builder.run("with-tools", ["/tools/status"]).stdout.decode(), end="")

    # The same Dockerfile, as a state to build on.
    built = lamina.from_dockerfile("dockerfile", contexts={"tools": tools("2.0"), "base": base})
    builder.build(built.run("/tools/start > /log").cmd(["cat", "/log"]), tags=["extended"])
    print(builder.run("extended").stdout.decode(), end="")
