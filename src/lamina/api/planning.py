"""`lamina.v1.Planner`: a plan of a build. Its request is that of `moby.buildkit.v1.Control.Solve`.

A buildkitd answers UNIMPLEMENTED.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.wire.fields import boolean, integer, many, string, strings

if TYPE_CHECKING:
    from lamina.wire.protobuf import Schema

SERVICE = "lamina.v1.Planner"
PLAN = f"/{SERVICE}/Plan"


class PlanStep(NamedTuple):
    """`planned` is a value of `lamina.solver.planning.Planned`.

    `nanoseconds` is the duration of the last run, if it is `timed`.
    """

    digest: str = ""
    name: str = ""
    planned: str = ""
    reason: str = ""
    depends: tuple[str, ...] = ()
    timed: bool = False
    nanoseconds: int = 0


class PlanTransfer(NamedTuple):
    """An image to pull or to push. `size` is in bytes, if it is `sized`."""

    name: str = ""
    sized: bool = False
    size: int = 0


class PlanResponse(NamedTuple):
    """`expected` and `at_most` are in nanoseconds."""

    steps: tuple[PlanStep, ...] = ()
    expected: int = 0
    at_most: int = 0
    unknown: int = 0
    pulled: tuple[PlanTransfer, ...] = ()
    pushed: tuple[PlanTransfer, ...] = ()


SCHEMA: Schema = {
    PlanStep: (
        string(1, "digest"),
        string(2, "name"),
        string(3, "planned"),
        string(4, "reason"),
        strings(5, "depends"),
        boolean(6, "timed"),
        integer(7, "nanoseconds"),
    ),
    PlanTransfer: (string(1, "name"), boolean(2, "sized"), integer(3, "size")),
    PlanResponse: (
        many(1, "steps", PlanStep),
        integer(2, "expected"),
        integer(3, "at_most"),
        integer(4, "unknown"),
        many(5, "pulled", PlanTransfer),
        many(6, "pushed", PlanTransfer),
    ),
}
