"""Drives nodes through their phases: each action runs once, and independent ones run in parallel.

Threads and locks. The scheduler has one lock (`_lock`), which guards the graph and the scheduling
fields of all nodes. `_advance` chooses the next action of a node with the lock held, and marks the
node `busy`. The action (`lamina.solver.actions`) runs in the worker pool without the lock; while a
node is `busy` that thread owns its action fields (`Node` lists them). `_finish` takes the lock
again, clears `busy`, and advances every node that may have waited for this one.
"""

from __future__ import annotations

import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeAlias

from lamina.base.errors import (
    Cancelled,
    Internal,
    LaminaError,
    PermissionDenied,
    from_os_error,
)
from lamina.solver.actions import Actions, RunningNodes
from lamina.solver.contract import R
from lamina.solver.deduplication import follow, share, stop_following
from lamina.solver.failure import error_for_follower, fail, located, name_step
from lamina.solver.job import (
    Job,
    announce,
    emit_cancelled,
    emit_vertex,
    join,
    leave,
    running_event,
)
from lamina.solver.node import Node, Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.base.events import EventSink, VertexEvent
    from lamina.solver.chain import ChainRecord, KeyStructures
    from lamina.solver.contract import Graph, Op, ResultStore, VertexSpec
    from lamina.solver.job import Identity
    from lamina.solver.lookup import CacheLookup
    from lamina.system.cancel import Cancellation
    from lamina.system.threads import WorkerPool


Action: TypeAlias = "tuple[Node[R], Callable[[Node[R]], Phase]]"


class Scheduler(Generic[R]):
    """The shared graph of all builds in this process. Thread-safe.

    Args:
        resolve: makes a vertex executable. Its second argument returns the jobs that hold the
            vertex at the time of the call: the op runs for all of them.
        pool: runs the actions; its size limits how many run at once.
    """

    def __init__(
        self,
        resolve: Callable[[VertexSpec, Callable[[], Sequence[Job[R]]]], Op[R]],
        pool: WorkerPool,
    ) -> None:
        self._resolve = resolve
        self._pool = pool
        self._lock = threading.Condition()  # notified when an action has finished
        self._nodes: dict[Identity, Node[R]] = {}
        self._due: deque[Node[R]] = deque()  # nodes to advance
        self._advancing = False
        self._ready: deque[Action[R]] = deque()  # to be started once the nodes are advanced
        self._running: RunningNodes[R] = RunningNodes()
        self._actions: Actions[R] = Actions(self._lock, self._running)

    def open_job(
        self,
        sink: EventSink,
        cancel: Cancellation,
        store: ResultStore[R],
        lookups: Callable[[CacheLookup], None] | None = None,
    ) -> Job[R]:
        return Job(sink, cancel, store, lookups)

    def close_job(self, job: Job[R]) -> None:
        """Release the job's nodes. Work that no other job needs is cancelled and awaited.

        Cancel the job first if another thread may still be in `solve` for it.
        """
        with self._lock:
            held = [*job.nodes.values(), *job.claims]
        self._release(job, held)
        with self._lock:
            job.nodes, job.specs = {}, {}
            job.claims.clear()

    def solve(self, job: Job[R], graph: Graph, cancel: Cancellation | None = None) -> R:
        """Make the graph's target and return its result, which stays held until the job is closed.

        Several threads may solve for one job. A vertex that failed for a job stays failed. Raises
        the error of the failed vertex, with its location in the definition of this graph.

        Args:
            cancel: cancels this call. Work that no other call or job needs is cancelled and
                awaited.
        """
        try:
            return self._solve(job, graph, cancel or job.cancel)
        except Cancelled:
            if cancel is not None and cancel.cancelled and not job.cancel.cancelled:
                self._abandon(job, graph)
            raise

    def _solve(self, job: Job[R], graph: Graph, cancel: Cancellation) -> R:
        with self._pool.waiting(), self._lock:
            job.cancel.check()  # a cancelled job may be closed already: it must not join nodes
            cancel.check()
            nodes = self._join(job, graph)
            index, output = graph.target
            target = nodes[index]
            target.wanted = True
            target.want(output)
            for node in nodes:
                self._advance(node)
            self._submit()
            job.solving.append(nodes)
            try:
                with job.cancel.calling(self._wake), cancel.calling(self._wake):
                    while not (
                        target.settled
                        or job.cancel.cancelled
                        or cancel.cancelled
                        or self._is_idle(job)
                    ):
                        self._lock.wait()
            finally:
                job.solving.remove(nodes)
            job.cancel.check()
            if not target.settled:
                cancel.check()
                raise self._not_settled(target)
            if target.results is None:
                assert target.error is not None
                raise located(target.error, target, job, graph)
            return target.result(output)

    def _abandon(self, job: Job[R], graph: Graph) -> None:
        """Release the nodes that a cancelled call of `solve` has not completed, and no other call
        needs."""
        with self._lock:
            needed = {node for nodes in job.solving for node in nodes}
            identities = {(spec.digest, spec.ignore_cache) for spec in graph.vertices}
            unneeded = {
                identity: node
                for identity, node in job.nodes.items()
                if identity in identities and not node.settled and node not in needed
            }
            job.nodes = {i: node for i, node in job.nodes.items() if i not in unneeded}
        self._release(job, list(unneeded.values()))

    def _release(self, job: Job[R], nodes: Sequence[Node[R]]) -> None:
        """Remove a job from nodes. Those that no other job needs are cancelled and awaited."""
        abandoned: list[Node[R]] = []
        running: list[VertexEvent] = []
        with self._lock:
            for node in nodes:
                if (event := running_event(job, node)) is not None:
                    running.append(event)
                leave(job, node)
                if not node.jobs:
                    abandoned.append(node)
                    stop_following(node)
                    if self._nodes.get(node.identity) is node:
                        del self._nodes[node.identity]
        for node in abandoned:
            node.cancel.cancel()
        with self._lock:
            while any(node.busy for node in abandoned):
                self._lock.wait()
            for node in abandoned:
                for source, _ in node.inputs:
                    if node in source.users:
                        source.users.remove(node)
                node.results = None
        emit_cancelled(job, running)

    def chain(
        self, job: Job[R], graphs: Sequence[Graph], store: KeyStructures
    ) -> list[ChainRecord]:
        """The cache keys of solved targets and of everything below them, for cache export."""
        from lamina.solver.chain import chain_records

        targets = []
        with self._lock:
            for graph in graphs:
                index, output = graph.target
                spec = graph.vertices[index]
                targets.append((job.nodes[spec.digest, spec.ignore_cache], output))
        return chain_records(targets, store)

    def _wake(self) -> None:
        with self._lock:
            self._lock.notify_all()

    # All methods from here to `_submit` are called with the lock held.

    def _is_idle(self, job: Job[R]) -> bool:
        """Whether nothing more happens for a job, although its target is not settled."""
        return False

    def _not_settled(self, node: Node[R]) -> LaminaError:
        """The error of `solve` for an idle job."""
        return Internal(f"{node.spec.name}: the scheduler stopped")

    def _join(self, job: Job[R], graph: Graph) -> list[Node[R]]:
        """The nodes of a graph. Nodes of other jobs are shared if their identity is equal."""
        nodes: list[Node[R]] = []
        known = dict(job.nodes)
        specs = {(spec.digest, spec.ignore_cache): spec for spec in graph.vertices}
        job.specs = {**specs, **job.specs}
        try:
            for spec in graph.vertices:
                identity = (spec.digest, spec.ignore_cache)
                node = known.get(identity)
                if node is None:
                    inputs = [(nodes[index], output) for index, output in spec.inputs]
                    emit_vertex(job, spec, (source.spec.digest for source, _ in inputs))
                    node = self._nodes.get(identity)
                    if node is None or node.phase is Phase.FAILED or node.cancel.cancelled:
                        node = self._nodes[identity] = self._node(job, spec, inputs)
                    else:
                        share(job, node)
                    known[identity] = node
                nodes.append(node)
        finally:
            job.nodes = known
        return nodes

    def _node(self, job: Job[R], spec: VertexSpec, inputs: list[tuple[Node[R], int]]) -> Node[R]:
        node = Node(spec, inputs)
        join(job, node, node)
        try:
            node.op = self._resolve(spec, lambda: node.jobs)
        except LaminaError as error:
            raise name_step(error, spec).at(spec.location) from error
        for source, output in inputs:
            source.users.append(node)
            source.want(output)
            if source.phase is Phase.FAILED:
                node.phase, node.error = Phase.FAILED, source.error
        return node

    def _advance(self, node: Node[R]) -> None:
        """Start the next action of a node, and of the inputs that it turns out to need.

        A nested call only queues the node: graphs are deeper than Python's stack.
        """
        self._due.append(node)
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._due:
                self._choose_action(self._due.popleft())
        finally:
            self._advancing = False

    def _choose_action(self, node: Node[R]) -> None:
        if node.busy or node.settled:
            return
        match node.phase:
            case Phase.MAP:
                self._start(node, self._actions.map)
            case Phase.FAST:
                if all(source.keyed for source, _ in node.inputs):
                    self._start(node, self._actions.look_up_fast)
                else:
                    self._make_inputs_early(node)
            case Phase.CONTENT:
                if self._need_results(node, node.content_inputs):
                    self._start(node, self._actions.look_up_content)
            case Phase.KEYED:
                if not node.wanted:
                    return
                if node.cached:
                    self._start(node, self._actions.load)
                elif node.leader is not None:
                    self._await_leader(node, node.leader)
                elif self._need_results(node, range(len(node.inputs))):
                    if node.outdated:
                        node.phase = Phase.FAST
                        self._due.append(node)
                    else:
                        self._execute_or_follow(node)

    def _execute_or_follow(self, node: Node[R]) -> None:
        leader = self._running.leader_for(node)
        if leader is not None:
            follow(node, leader)
            return
        self._running.add(node)
        self._start(node, self._actions.execute)

    def _await_leader(self, node: Node[R], leader: Node[R]) -> None:
        if leader.key.id != node.key.id:  # its key was revised: see `lamina.solver.revision`
            stop_following(node)
            self._due.append(node)
        elif leader.phase is Phase.DONE:
            self._start(node, self._actions.take_over)
        elif leader.phase is Phase.FAILED:
            assert leader.error is not None
            if isinstance(leader.error, PermissionDenied):
                # The leader may have run before this node followed it, without the credentials of
                # this node's builds.
                stop_following(node)
                self._due.append(node)
                return
            fail(node, error_for_follower(leader.error, leader.spec, node.spec))

    def _make_inputs_early(self, node: Node[R]) -> None:
        for source in node.inputs_to_make_early():
            source.wanted = True
            self._advance(source)

    def _need_results(self, node: Node[R], indexes: list[int] | range) -> bool:
        """Request the results of these inputs. Returns whether all of them are done."""
        ready = True
        for index in indexes:
            source, _ = node.inputs[index]
            if source.phase is Phase.DONE:
                continue
            ready = False
            if source.phase is Phase.FAILED:  # it failed when this node did not need it
                fail(node, source.error)
                break
            if not source.wanted:
                source.wanted = True
                self._advance(source)
        return ready

    def _start(self, node: Node[R], action: Callable[[Node[R]], Phase]) -> None:
        node.busy = True
        self._ready.append((node, action))

    def _submit(self) -> None:
        while self._ready:
            self._pool.submit(partial(self._work, *self._ready.popleft()))

    def _work(self, node: Node[R], action: Callable[[Node[R]], Phase]) -> None:
        """In a thread of the pool: run an action, and then short ones that it made possible."""
        following: Action[R] | None = (node, action)
        while following is not None:
            following = self._finish(following[0], *self._run(*following))

    @staticmethod
    def _run(node: Node[R], action: Callable[[Node[R]], Phase]) -> tuple[Phase, LaminaError | None]:
        """Run an action without the lock. Returns the node's next phase, and its error."""
        error: LaminaError
        try:
            node.cancel.check()
            return action(node), None
        except LaminaError as caught:
            error = caught
        except OSError as caught:
            error = from_os_error(caught, node.spec.name)
            error.__cause__ = caught
        except Exception as caught:
            error = Internal(f"{node.spec.name}: {type(caught).__name__}: {caught}")
            error.__cause__ = caught
        error = name_step(error, node.spec)
        if not isinstance(error, Cancelled) or node.started is not None:
            announce(node, completed=True, error=error)
        return node.phase, error

    def _finish(self, node: Node[R], phase: Phase, error: LaminaError | None) -> Action[R] | None:
        """Record how an action ended, and advance the nodes that waited for it.

        Returns the action that this thread is to run next, if any.
        """
        with self._lock:
            node.busy = False
            if phase is Phase.DONE and node.cached and node.missing_outputs:
                phase = Phase.KEYED  # another build requested more outputs meanwhile
            node.phase = phase
            if phase is not Phase.KEYED or error is not None:
                self._running.remove(node)
            if error is not None:
                node.error, node.cached = error, False
                fail(node, error)
            elif node.error is not None:  # an input failed meanwhile
                fail(node, node.error)
            self._advance(node)
            for other in (*node.users, *node.followers):
                self._advance(other)
            self._lock.notify_all()
            following = None
            # Steps that execute take long: they go through the pool's queue, for fairness.
            if self._ready and self._ready[0][1] != self._actions.execute:
                following = self._ready.popleft()
            self._submit()
        return following
