"""The step and location of errors.

Builds with different definitions share nodes. So the error of a node names the step and has no
location: `located` adds the one that the step has in the definition of the job that gets the error.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.base.errors import FailedStep, LaminaError
from lamina.solver.node import Phase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.solver.contract import Graph, R, VertexSpec
    from lamina.solver.job import Job
    from lamina.solver.node import Node


def name_step(error: LaminaError, spec: VertexSpec) -> LaminaError:
    """A copy that names the failed step, if the error does not yet, and has no location."""
    step = error.step or FailedStep(str(spec.digest))
    if step.digest == spec.digest:
        step = step._replace(data=spec.data)
    return error.with_context(step=step, location=None)


def located(error: LaminaError, node: Node[R], job: Job[R], graph: Graph) -> LaminaError:
    """A copy of a node's error, with the location of the step in the job's own definition.

    A step that the job does not have belongs to a definition that a build op solved: then the
    location is that of the build op. Called with the scheduler's lock held.
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
    """The node whose action failed: `node` itself or one below it."""
    while True:
        below = next((source for source, _ in node.inputs if source.error is error), None)
        if below is None:
            return node
        node = below


@contextmanager
def of_content(result: object, spec: VertexSpec, index: int) -> Iterator[None]:
    """Errors in the block become errors of digesting an input for the cache key of a step."""
    try:
        yield
    except LaminaError as error:
        raise error.with_context(
            during=f"failed to compute cache key: failed to calculate checksum of ref {result}",
            step=FailedStep(str(spec.digest), content=index, inputs=(result,)),
        ) from error


def error_for_follower(error: LaminaError, leader: VertexSpec, spec: VertexSpec) -> LaminaError:
    """The error of a leader, as one of the vertex that follows it."""
    if error.step is None or error.step.digest != leader.digest:
        return error
    step = error.step._replace(digest=str(spec.digest), data=spec.data)
    return error.with_context(step=step)


def fail(node: Node[R], error: LaminaError | None) -> None:
    """Fail a node and all users that need its result. A busy node fails when its action ends.

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
