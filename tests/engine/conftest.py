"""A complete engine on a separate store: definitions in, trees of files out."""

from __future__ import annotations

import multiprocessing
import os
import stat
import traceback
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from lamina.base.errors import LaminaError
from lamina.client.contract import SessionProviders
from lamina.client.providers import EmbeddedSession
from lamina.engine.build import BuildOptions
from lamina.engine.engine import Engine
from lamina.engine.host_setup import HostSetup, enter_user_namespace
from lamina.stores.store import open_store
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lamina.base.events import Event
    from lamina.llb.op import Definition


class Bench(NamedTuple):
    """An engine in this process, which may mount."""

    engine: Engine
    events: list[Event]

    def tree(self, *definitions: Definition, folders: dict[str, str] | None = None) -> Any:
        """The tree of the last of several definitions, which are solved one by one."""
        with self.build(folders) as build:
            for definition in definitions:
                ref = build.solvable(definition).ref()
            return files_of(self.engine.refs.tree(ref, build.cancel).root)

    def build(self, folders: dict[str, str] | None = None, **options: Any) -> Any:
        session = EmbeddedSession(folders or {}, SessionProviders())
        return self.engine.open_build(
            session, BuildOptions(**options), self.events.append, Cancellation()
        )


def files_of(root: str) -> dict[str, str]:
    """Every path with its content: a file's text, `-> target` of a link, `/` of a directory."""
    found = {}
    for folder, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = os.path.join(folder, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                found[os.path.relpath(path, root)] = f"-> {os.readlink(path)}"
            elif stat.S_ISDIR(mode):
                found[os.path.relpath(path, root)] = "/"
            else:
                with open(path, encoding="utf-8", errors="replace") as file:
                    found[os.path.relpath(path, root)] = file.read()
    return found


def _work(root: str, use: Callable[[Bench], Any], pipe: Any) -> None:
    try:
        with open_store(root) as store:
            engine = Engine(store, HostSetup(root, enter_user_namespace(root)).enter())
            try:
                pipe.send((use(Bench(engine, [])), None))
            finally:
                engine.close()
    except LaminaError as error:
        pipe.send((None, error.reason))
    except BaseException:
        pipe.send((None, traceback.format_exc()))


@pytest.fixture
def with_engine(tmp_path: Path) -> Callable[[Callable[[Bench], Any]], Any]:
    """Runs a function with an engine, in a process with a mount namespace. Returns its result.

    An error is raised as a LaminaError with the original reason (or traceback).
    """
    context = multiprocessing.get_context("fork")

    def run(use: Callable[[Bench], Any]) -> Any:
        ours, theirs = context.Pipe()
        child = context.Process(target=_work, args=(str(tmp_path / "store"), use, theirs))
        child.start()
        theirs.close()
        result, failure = ours.recv()
        child.join(30)
        assert child.exitcode == 0
        if failure is not None:
            raise LaminaError(failure)
        return result

    return run
