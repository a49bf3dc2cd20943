"""A common example of cache mounts: a Go service."""

from __future__ import annotations

from lamina.dockerfile.lexer import parse_document
from tests.advise.advising import improved

FILES = {"go.mod": "module gin\n", "go.sum": "", "main.go": "", "foo/foo.go": "", "bar/bar.go": ""}
BEFORE = """FROM golang:1.14-alpine

RUN apk add bash ca-certificates git gcc g++ libc-dev
WORKDIR /app
# Use modules
ENV GO111MODULE=on
# The manifests first
COPY go.mod .
COPY go.sum .
RUN go mod download
COPY main.go .
COPY foo/foo.go foo/
COPY bar/bar.go bar/

ENV GOOS=linux
ENV GOARCH=amd64
RUN go build -o /app -v -tags netgo -ldflags '-w -extldflags "-static"' .

CMD ["/app"]
"""
AFTER = """FROM golang:1.14-alpine

RUN --mount=type=cache,target=/var/cache/apk apk add bash ca-certificates git gcc g++ libc-dev
WORKDIR /app
# Use modules
ENV GO111MODULE=on
# The manifests first
COPY go.mod .
COPY go.sum .
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY main.go .
COPY foo/foo.go foo/
COPY bar/bar.go bar/

ENV GOOS=linux
ENV GOARCH=amd64
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
go build -o /app -v -tags netgo -ldflags '-w -extldflags "-static"' .

CMD ["/app"]
"""


def test_the_first_dockerfile_becomes_the_second() -> None:
    def instructions(text: str) -> list[tuple[object, ...]]:
        nodes = parse_document(text, "Dockerfile").nodes
        return [(node.keyword, node.flags, node.rest, node.comments) for node in nodes]

    after = improved(BEFORE, FILES)
    assert instructions(after) == instructions(AFTER)
    # Everything else stays unchanged, character by character.
    assert [
        line for line in after.split("\n") if not line.lstrip().startswith(("RUN", "--", "go"))
    ] == [line for line in BEFORE.split("\n") if not line.startswith("RUN")]
