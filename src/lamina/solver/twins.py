"""Nodes that are different vertices, yet would make the same: one does, the others follow it.

Two builds rarely have the same vertices: the folders of their clients are different sources. But
when what a step reads is known to be the same, so are their keys, and what the one makes is what
the other wants. The first to run leads; a job whose node follows claims the leader and what it
borrows, so that both live as long as anybody waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.solver.job import join, leave

if TYPE_CHECKING:
    from lamina.solver.contract import R
    from lamina.solver.job import Job
    from lamina.solver.node import Node

# All are called with the scheduler's lock held.


def share(job: Job[R], node: Node[R]) -> None:
    """Let a job have a node that others have already."""
    if job in node.jobs:  # by a claim
        leave(job, node)
        job.claims.remove(node)
    join(job, node, node)
    if node.keyed:
        for form in node.forms:
            job.store.note(form)
    if node.leader is not None:
        claim(job, node)


def follow(node: Node[R], leader: Node[R]) -> None:
    """Have a node's results made by another one."""
    node.leader = leader
    leader.outputs |= node.outputs  # should it find them made after all, it loads these too
    leader.followers.append(node)
    for job in node.jobs:
        claim(job, node)


def claim(job: Job[R], node: Node[R]) -> None:
    """Keep what a node follows for a job: it hears of the leader as if that were its own node,
    from the leader's beginning."""
    leader = node.leader
    assert leader is not None
    _claim(job, leader, node)
    for source, _ in leader.inputs:
        _claim(job, source, None)


def stop_following(node: Node[R]) -> None:
    """Nobody waits for a node any more, or it has what it wanted."""
    if node.leader is not None:
        node.leader.followers.remove(node)
        node.leader = None


def _claim(job: Job[R], node: Node[R], alias: Node[R] | None) -> None:
    if job not in node.jobs:
        join(job, node, alias)
        job.claims.append(node)
