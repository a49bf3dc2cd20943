"""The outcome of a build, in a form that can be compared."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from tests.corpus.corpus_image import read_built

if TYPE_CHECKING:
    from pathlib import Path

    from tests.commands import Done, Lamina
    from tests.corpus.corpus_image import Tree

_CRASHES = re.compile(r"Traceback \(most recent call last\)|internal error|RecursionError")


class Outcome(NamedTuple):
    """`lines` are a tree, a configuration and a history; none if the build failed."""

    code: int
    lines: tuple[str, ...]
    said: str

    @property
    def result(self) -> tuple[bool, tuple[str, ...]]:
        """The part of the outcome in which two equal builds must agree."""
        return self.code == 0, self.lines


def sane(done: Done) -> Done:
    """Raise AssertionError for a crash. Errors are allowed."""
    assert not _CRASHES.search(done.err), f"a crash: {done.err}"
    assert done.code >= 0, f"killed by signal {-done.code}: {done.err}"
    return done


def outcome(lamina: Lamina, base: Tree, layout: Path, *args: str) -> Outcome:
    """Build to an OCI layout, which must not exist yet, and read it."""
    output = f"type=oci,dest={layout},tar=false"
    done = sane(lamina("build", "--progress=plain", "-o", output, *args))
    if done.code:
        return Outcome(done.code, (), done.err)
    built = read_built(layout, base)
    lines = (*built.tree, *built.config.split("\n"), *built.history)
    return Outcome(0, lines, done.err)


def differences(one: Outcome, other: Outcome) -> str:
    """The differences between two outcomes, with at most a few lines of each."""
    if one.code or other.code:
        return f"exit status {one.code} and {other.code}:\n{one.said}\n{other.said}"
    less = [f"- {line}" for line in one.lines if line not in other.lines]
    more = [f"+ {line}" for line in other.lines if line not in one.lines]
    return "\n".join([*less[:20], *more[:20]])
