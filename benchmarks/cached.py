"""A fully cached build: the time of a build after an edit that changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.harness import Lamina, Row, repeat, row, write_context

if TYPE_CHECKING:
    from pathlib import Path

_DOCKERFILE = """
FROM base AS build
WORKDIR /src
ENV GOFLAGS=-mod=mod
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod cat go.mod > /modules
COPY pkg pkg
COPY main.go .
RUN --mount=type=cache,target=/root/.cache cat pkg/*.go main.go > /service
FROM base
RUN mkdir -p /srv
WORKDIR /srv
COPY --from=build /service /srv/service
RUN chmod 755 /srv/service
CMD ["/srv/service"]
"""


def write_cached(folder: Path) -> Path:
    """Write the context of the build."""
    context = write_context(folder, _DOCKERFILE)
    (context / "pkg").mkdir()
    for name in ("go.mod", "go.sum", "main.go", "pkg/a.go", "pkg/b.go"):
        (context / name).write_text(f"// {name}\n" * 50)
    return context


def measure(work: Path) -> list[Row]:
    """Twelve steps, all of them in the cache; the time of the whole process."""
    context = write_cached(work / "context")
    lamina = Lamina(work / "store")
    lamina.build(context, "-t", "cached")
    runs = repeat(11, lambda _: lamina.build(context, "-t", "cached"))
    return [row("fully cached 12-step build", runs, 0.20)]
