"""The build uses the resolution of a source that its frontend got."""

from __future__ import annotations

import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from lamina.api.sourcemeta import ResolveSourceMetaRequest
from lamina.base.digest import digest_of
from lamina.engine.frontends.source_meta import resolve_source_meta
from lamina.llb.op import SourceOp
from lamina.sources.pins import BuildPins, SharedPins
from tests.engine.source_bench import source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.engine.conftest import Bench

    WithEngine = Callable[[Callable[[Bench], Any]], Any]


class Files(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """The URL of the directory `served`."""
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_builds_use_the_resolution_that_frontends_saw(
    with_engine: WithEngine, tmp_path: Path, url: str
) -> None:
    file = tmp_path / "served/f"
    file.write_text("before")

    def use(bench: Bench) -> list[str]:
        found = []
        with bench.build() as build, bench.build() as another:
            asked = ResolveSourceMetaRequest(SourceOp(f"{url}/f"))
            told = resolve_source_meta(build, asked).http
            assert told is not None
            assert told.checksum == digest_of(b"before")
            file.write_text("and after")
            os.utime(file, (2e9, 2e9))  # servers send times in seconds
            for each in (build, another):
                made = each.solvable(source(f"{url}/f")).ref()
                with open(bench.engine.refs.tree(made, each.cancel).real("f")) as text:
                    found.append(text.read())
        return found

    # Builds share a step while one of them has it, with the resolution of the first.
    assert with_engine(use) == ["before", "before"]
    assert with_engine(lambda bench: bench.tree(source(f"{url}/f"))) == {"f": "and after"}


def test_pins_of_several_builds() -> None:
    one, two = BuildPins(), BuildPins()
    current = [one, two]
    shared = SharedPins(lambda: current)
    two.keep("a", 1)
    assert shared.known(int, "a") == [1]
    assert shared.known(str, "a") == []
    assert shared.known(int, "b") == []
    shared.keep("a", 2)
    shared.keep("a", 2)
    assert (one.known(int, "a"), two.known(int, "a")) == ([2], [1, 2])
    assert shared.known(int, "a") == [2, 1]
    current.clear()
    shared.keep("a", 3)
    assert shared.known(int, "a") == []
