"""Which step an error is of, and where in the text of each client that is.

Nodes are shared by builds whose texts differ. So the error that a node keeps names the step, and
has no location: that is looked up in the build that the error is raised to (`located`).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.base.errors import FailedStep, LaminaError
from lamina.solver.node import Phase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.solver.contract import Graph, R, Result, VertexSpec
    from lamina.solver.job import Job
    from lamina.solver.node import Node


def name_step(error: LaminaError, spec: VertexSpec) -> LaminaError:
    """A copy that says which step failed, unless it does already, and nothing of a location."""
    step = error.step or FailedStep(str(spec.digest))
    if step.digest == spec.digest:
        step = step._replace(data=spec.data)
    return error.with_context(step=step, location=None)


def located(error: LaminaError, node: Node[R], job: Job[R], graph: Graph) -> LaminaError:
    """A copy of the error of a node, with the location that the step has in a job's own text.

    A step that the job does not have belongs to the definition that another step of the job made:
    then it is the location of that one. Called with the scheduler's lock held.
    """
    digests = [error.step.digest] if error.step is not None else []
    digests.append(str(_origin(node, error).spec.digest))
    graph_specs = {str(spec.digest): spec for spec in graph.vertices}
    for digest in digests:
        spec = graph_specs.get(digest) or job.spec(digest)
        if spec is not None and spec.location is not None:
            return error.with_context(location=spec.location)
    return error.again()


def _origin(node: Node[R], error: LaminaError) -> Node[R]:
    """The node below, or `node` itself, whose action failed with an error."""
    while True:
        below = next((source for source, _ in node.inputs if source.error is error), None)
        if below is None:
            return node
        node = below


@contextmanager
def of_content(result: Result, spec: VertexSpec, index: int) -> Iterator[None]:
    """Say of errors in the block that they are of digesting an input of a step, for its key."""
    try:
        yield
    except LaminaError as error:
        raise error.with_context(
            during=f"failed to compute cache key: failed to calculate checksum of ref {result}",
            step=FailedStep(str(spec.digest), content=index),
        ) from error


def error_for_follower(error: LaminaError, leader: VertexSpec, spec: VertexSpec) -> LaminaError:
    """The error of another vertex as this one's."""
    if error.step is None or error.step.digest != leader.digest:
        return error
    step = error.step._replace(digest=str(spec.digest), data=spec.data)
    return error.with_context(step=step)


def fail(node: Node[R], error: LaminaError | None) -> None:
    """Fail a node, and all users that need it. One that is busy fails when that is over.

    Called with the scheduler's lock held.
    """
    stack = [node]
    while stack:
        failed = stack.pop()
        if not failed.needs_inputs:
            continue
        failed.error = failed.error or error
        if not failed.busy:
            failed.phase = Phase.FAILED
            stack.extend(failed.users)
