"""Which step an error is of, and where in the text that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import FailedStep

if TYPE_CHECKING:
    from lamina.base.errors import LaminaError
    from lamina.solver.contract import VertexSpec


def place(error: LaminaError, spec: VertexSpec) -> None:
    """Say which step failed, unless one within it has said so."""
    error.at(spec.location)
    step = error.step or FailedStep(str(spec.digest))
    if step.digest == spec.digest:
        error.step = step._replace(data=spec.data)


def of_twin(error: LaminaError, leader: VertexSpec, spec: VertexSpec) -> LaminaError:
    """The error of another vertex as this one's, which stands elsewhere in another text."""
    twin = error.again()
    if twin.step is not None and twin.step.digest == leader.digest:
        twin.step = twin.step._replace(digest=str(spec.digest), data=spec.data)
    if twin.location == leader.location:
        twin.location = spec.location
    return twin
