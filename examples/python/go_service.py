"""The Go service of examples/go-web. After an edit, Go compiles only the edited package."""

import os
import sys

import lamina

source = sys.argv[1] if len(sys.argv) > 1 else "../go-web"

go = lamina.image(os.environ.get("BASE", "go-base"))
compiled = (
    go.workdir("/go/src/go-web")
    .env(CGO_ENABLED="0")
    .copy(lamina.local(source, include=["**/*.go"]), ".", ".")
    .run(
        "go build -v -o /app -tags netgo -ldflags '-w' .",
        mounts=[lamina.cache("/root/.cache/go-build")],
        network="none",
        name="Compile the service",
    )
)
service = lamina.scratch().copy(compiled, "/app", "/app").entrypoint(["/app"])

with lamina.connect() as builder, lamina.terminal_progress("plain") as progress:
    print(builder.build(service, tags=["go-service"], on_event=progress).digest)
