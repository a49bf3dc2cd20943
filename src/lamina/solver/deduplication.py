"""Deduplication: of several nodes with the same cache key, one runs and the others follow it.

Two builds rarely have the same vertices, because the directories of their clients are different
sources. But two steps that read the same content have the same content-based key, and therefore the
same result. The first node to run is the leader. A job whose node follows it also holds the leader
and the leader's inputs (`Job.claims`), so that they live as long as any job waits for them.

All functions are called with the scheduler's lock held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.solver.job import join, leave

if TYPE_CHECKING:
    from lamina.solver.contract import R
    from lamina.solver.job import Job
    from lamina.solver.node import Node


def share(job: Job[R], node: Node[R]) -> None:
    """Add a job to a node that other jobs hold."""
    if job in node.jobs:  # it holds the node as the leader of another
        leave(job, node)
        job.claims.remove(node)
    join(job, node, node)
    if node.keyed:
        for key in node.equivalent_keys:
            job.store.note_key(key)
    if node.leader is not None:
        claim(job, node)


def follow(node: Node[R], leader: Node[R]) -> None:
    """Let `leader` make the results of a node."""
    node.leader = leader
    leader.outputs |= node.outputs  # if the leader is a cache hit, it loads these too
    leader.followers.append(node)
    for job in node.jobs:
        claim(job, node)


def claim(job: Job[R], node: Node[R]) -> None:
    """Add a job to the leader of its node, and to the leader's inputs.

    The job gets all events of the leader, including earlier ones, as events of its own node.
    """
    leader = node.leader
    assert leader is not None
    _claim(job, leader, node)
    for source, _ in leader.inputs:
        _claim(job, source, None)


def stop_following(node: Node[R]) -> None:
    """Detach a node from its leader, if it has one."""
    if node.leader is not None:
        node.leader.followers.remove(node)
        node.leader = None


def _claim(job: Job[R], node: Node[R], alias: Node[R] | None) -> None:
    if job not in node.jobs:
        join(job, node, alias)
        job.claims.append(node)
