"""Drives nodes through their phases: everything that can run at once does, and runs once.

`_advance` decides the next action of a node, with the scheduler's lock held, and marks the node
`busy`. The action (asking an op for its key, looking up, executing) runs in the pool without the
lock and writes what it finds out to fields that are its own meanwhile (`Node` lists them). `_act`
takes the lock again, clears `busy`, and advances every node that may have waited for this.
"""

from __future__ import annotations

import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeAlias, cast

from lamina.base.digest import Digest, digest_of
from lamina.base.errors import (
    Cancelled,
    Internal,
    LaminaError,
    from_os_error,
)
from lamina.solver.contract import R
from lamina.solver.deduplication import follow, share, stop_following
from lamina.solver.failure import error_for_follower, fail, located, name_step, of_content
from lamina.solver.job import (
    Job,
    NodeContext,
    announce,
    hold,
    join,
    leave,
    running_for,
    tell_cancelled,
    tell_known,
)
from lamina.solver.key import CacheKey, KeyInput, content_input, make_key
from lamina.solver.node import Node, Phase
from lamina.solver.revision import revised_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from lamina.base.events import EventSink, VertexEvent
    from lamina.solver.chain import ChainRecord, KeyStructures
    from lamina.solver.contract import Graph, Op, ResultStore, VertexSpec
    from lamina.solver.job import Identity
    from lamina.system.cancel import Cancellation
    from lamina.system.threads import WorkerPool


Action: TypeAlias = "tuple[Node[R], Callable[[Node[R]], Phase]]"


class Scheduler(Generic[R]):
    """The shared graph of all builds in this process.

    Args:
        resolve: makes a vertex executable. It is given a function that tells which jobs hold
            the vertex at present: an op serves all of them, and borrows from any.
        pool: runs the actions; its limit bounds how much happens at once.
    """

    def __init__(
        self,
        resolve: Callable[[VertexSpec, Callable[[], Sequence[Job[R]]]], Op[R]],
        pool: WorkerPool,
    ) -> None:
        self._resolve = resolve
        self._pool = pool
        self._changed = threading.Condition()
        self._nodes: dict[Identity, Node[R]] = {}
        self._due: deque[Node[R]] = deque()  # nodes to advance
        self._advancing = False
        self._ready: deque[Action[R]] = deque()  # to be started once the nodes are advanced
        self._making: dict[Digest, Node[R]] = {}  # nodes that run, by their keys

    def open_job(self, sink: EventSink, cancel: Cancellation, store: ResultStore[R]) -> Job[R]:
        return Job(sink, cancel, store)

    def close_job(self, job: Job[R]) -> None:
        """Give up the job's claim: work that nobody else waits for is cancelled and awaited.

        Whoever may still solve for the job is to be stopped before, by its cancellation.
        """
        abandoned: list[Node[R]] = []
        running: list[VertexEvent] = []
        with self._changed:
            for node in (*job.nodes.values(), *job.claims):
                if (event := running_for(job, node)) is not None:
                    running.append(event)
                leave(job, node)
                if not node.jobs:
                    abandoned.append(node)
                    stop_following(node)
                    if self._nodes.get(node.identity) is node:
                        del self._nodes[node.identity]
        for node in abandoned:
            node.cancel.cancel()
        with self._changed:
            while any(node.busy for node in abandoned):
                self._changed.wait()
            for node in abandoned:
                for source, _ in node.inputs:
                    if node in source.users:
                        source.users.remove(node)
                for result in (node.results or {}).values():
                    result.release()
                node.results = None
            job.nodes, job.specs = {}, {}
            job.claims.clear()
        tell_cancelled(job, running)

    def solve(self, job: Job[R], graph: Graph) -> R:
        """Make the graph's target and return a handle on it, which the caller releases.

        Several threads may solve for one job; what failed for it stays failed. Raises the error
        of the vertex that failed, with its location in the text that the graph was made of.
        """
        with self._pool.waiting(), self._changed:
            job.cancel.check()  # whoever comes after the end must not join
            nodes = self._join(job, graph)
            index, output = graph.target
            target = nodes[index]
            target.wanted = True
            target.want(output)
            for node in nodes:
                self._advance(node)
            self._submit()
            with job.cancel.calling(self._wake):
                while not target.settled and not job.cancel.cancelled:
                    self._changed.wait()
            job.cancel.check()
            if target.results is None:
                assert target.error is not None
                raise located(target.error, target, job, graph)
            return cast("R", target.result(output).clone())

    def chain(
        self, job: Job[R], graphs: Sequence[Graph], store: KeyStructures
    ) -> list[ChainRecord]:
        """The keys of everything that solved targets were made of, as caches carry them."""
        from lamina.solver.chain import chain_records

        targets = []
        with self._changed:
            for graph in graphs:
                index, output = graph.target
                spec = graph.vertices[index]
                targets.append((job.nodes[spec.digest, spec.ignore_cache], output))
        return chain_records(targets, store)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # From here to `_act`, called with the lock held.
    def _join(self, job: Job[R], graph: Graph) -> list[Node[R]]:
        """The graph's nodes, shared with other jobs where they are the same."""
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
                    tell_known(job, spec, (source.spec.digest for source, _ in inputs))
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
        """Do what is to be done next for a node, and for those below that this is wanted of."""
        self._due.append(node)
        if self._advancing:
            return  # its turn comes: graphs are deeper than Python's stack
        self._advancing = True
        try:
            while self._due:
                self._take_step(self._due.popleft())
        finally:
            self._advancing = False

    def _take_step(self, node: Node[R]) -> None:
        if node.busy or node.settled:
            return
        match node.phase:
            case Phase.MAP:
                self._start(node, self._map)
            case Phase.FAST:
                if all(source.keyed for source, _ in node.inputs):
                    self._start(node, self._look_up_fast)
                else:
                    self._expect_miss(node)
            case Phase.CONTENT:
                if self._demand(node, node.content_inputs):
                    self._start(node, self._look_up_content)
            case Phase.KEYED:
                if not node.wanted:
                    return
                if node.cached:
                    self._start(node, self._load)
                elif node.leader is not None:
                    self._await_leader(node, node.leader)
                elif self._demand(node, range(len(node.inputs))):
                    if node.outdated:
                        node.phase = Phase.FAST
                        self._due.append(node)
                    else:
                        self._make(node)

    def _make(self, node: Node[R]) -> None:
        """Run a node, unless one that makes the same runs: then follow that."""
        leader = None if node.key.ephemeral else self._making.get(node.key.id)
        if leader not in (None, node) and not leader.cancel.cancelled:
            follow(node, leader)
            return
        self._making[node.key.id] = node
        self._start(node, self._execute)

    def _await_leader(self, node: Node[R], leader: Node[R]) -> None:
        if leader.key.id != node.key.id:  # it made something else, see `revision`
            stop_following(node)
            self._due.append(node)
        elif leader.phase is Phase.DONE:
            self._start(node, self._take_over)
        elif leader.phase is Phase.FAILED:
            assert leader.error is not None
            fail(node, error_for_follower(leader.error, leader.spec, node.spec))

    def _expect_miss(self, node: Node[R]) -> None:
        """Make ahead of time what a node will digest, if its key cannot be known yet."""
        for source in node.inputs_to_make_early():
            source.wanted = True
            self._advance(source)

    def _demand(self, node: Node[R], indexes: list[int] | range) -> bool:
        """Want the results of these inputs; whether they are all there."""
        ready = True
        for index in indexes:
            source, _ = node.inputs[index]
            if source.phase is Phase.DONE:
                continue
            ready = False
            if source.phase is Phase.FAILED:  # it failed when nobody else needed it
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
        """In a thread of the pool: act, and go on with what that has made possible."""
        following: Action[R] | None = (node, action)
        while following is not None:
            following = self._act(*following)

    def _act(self, node: Node[R], action: Callable[[Node[R]], Phase]) -> Action[R] | None:
        """Returns what this thread is to do next."""
        error: LaminaError | None = None
        phase = node.phase
        try:
            node.cancel.check()
            phase = self._kept(node, action(node))
        except LaminaError as caught:
            error = caught
        except OSError as caught:
            error = from_os_error(caught, node.spec.name)
            error.__cause__ = caught
        except Exception as caught:
            error = Internal(f"{node.spec.name}: {type(caught).__name__}: {caught}")
            error.__cause__ = caught
        if error is not None:
            error = name_step(error, node.spec)
            if not isinstance(error, Cancelled) or node.started is not None:
                announce(node, completed=True, error=error)
        with self._changed:
            node.busy = False
            if phase is Phase.DONE and node.cached and node.missing_outputs:
                phase = Phase.KEYED  # somebody came for more meanwhile
            node.phase = phase
            if phase is not Phase.KEYED or error is not None:
                self._made(node)
            if error is not None:
                node.error, node.cached = error, False
                fail(node, error)
            elif node.error is not None:  # an input failed meanwhile
                fail(node, node.error)
            self._advance(node)
            for other in (*node.users, *node.followers):
                self._advance(other)
            self._changed.notify_all()
            following = None
            # What takes long goes through the queue, where others wait.
            if self._ready and self._ready[0][1] != self._execute:
                following = self._ready.popleft()
            self._submit()
        return following

    def _kept(self, node: Node[R], phase: Phase) -> Phase:
        """Keep what a node has for all builds that run by now, which may be others than when it
        was made. What somebody removed in between is made again."""
        if phase is not Phase.DONE or hold(node.stores[0], node):
            return phase
        node.results, node.cached = None, False
        return Phase.KEYED

    def _made(self, node: Node[R]) -> None:
        if node.keys and self._making.get(node.key.id) is node:
            del self._making[node.key.id]

    def _map(self, node: Node[R]) -> Phase:
        node.cache_map = node.op.cache_map(NodeContext(node))
        return Phase.FAST

    def _look_up_fast(self, node: Node[R]) -> Phase:
        assert node.cache_map is not None
        parts = [
            KeyInput(source.key.id, output, dependency.selector)
            for (source, output), dependency in zip(
                node.inputs, node.cache_map.dependencies, strict=True
            )
        ]
        node.input_keys = tuple(part.key for part in parts)
        ephemeral = node.cache_map.ephemeral or any(s.key.ephemeral for s, _ in node.inputs)
        fast = node.make_key(parts, ephemeral=ephemeral)
        found = self._hit(node, fast)
        node.keys = (fast,) if found in (None, fast) else (found, fast)
        self._note(node, node.equivalent_keys)
        if found is not None:
            return Phase.KEYED
        return Phase.CONTENT if node.content_inputs else self._missed(node)

    def _look_up_content(self, node: Node[R]) -> Phase:
        assert node.cache_map is not None
        if node.outdated:
            return Phase.FAST
        store = node.stores[0]
        results = self._results(node, node.content_inputs)
        if results is None:
            return Phase.CONTENT
        parts: list[KeyInput] = []
        ephemeral = False
        for index, ((source, output), dependency) in enumerate(
            zip(node.inputs, node.cache_map.dependencies, strict=True)
        ):
            if dependency.content is None:
                ephemeral = ephemeral or source.key.ephemeral
                parts.append(KeyInput(source.key.id, output, dependency.selector))
            else:
                with of_content(results[index], node.spec, index):
                    content = make_key(dependency.content(results[index]))
                self._note(node, [content])
                parts.append(content_input(content, dependency.selector))
        slow = node.make_key(parts, ephemeral=ephemeral)
        fast = node.keys[-1]
        node.keys = (slow, fast)
        found = self._hit(node, slow)
        if found is not None:
            node.keys = (found, *(key for key in (slow, fast) if key != found))
            store.link(node.keys)
            return Phase.KEYED
        return self._missed(node)

    def _missed(self, node: Node[R]) -> Phase:
        """Nothing is remembered. A step that was told to ignore the cache gets a key of its own.

        Its users must not find results that were made from its former output.
        """
        if node.spec.ignore_cache:
            import os

            fresh = make_key(digest_of(os.urandom(32)))
            node.keys = (fresh, *node.keys)
            node.key_unseen = True
        else:
            stores = node.stores
            node.key_unseen = not any(
                store.knows(node.key, output)
                for store in stores
                for output in node.requested_outputs
            )
        return Phase.KEYED

    def _hit(self, node: Node[R], key: CacheKey) -> CacheKey | None:
        """The key under which one of the jobs' stores has all that is wanted of a node."""
        if key.ephemeral or node.spec.ignore_cache:
            return None
        outputs = node.requested_outputs
        for store in node.stores:
            found = store.canonical(key)
            if all(store.has(found, output) for output in outputs):
                node.cached = True
                node.found_in = store
                announce(node, completed=True)
                return found
        return None

    def _results(self, node: Node[R], indexes: Iterable[int]) -> dict[int, R] | None:
        """The results of these inputs, by index; None if one of them has to be loaded again.

        That happens when another build wants more of an input after this node's action began.
        """
        with self._changed:
            inputs = {index: node.inputs[index] for index in indexes}
            if not all(source.phase is Phase.DONE for source, _ in inputs.values()):
                return None
            return {index: source.result(output) for index, (source, output) in inputs.items()}

    def _note(self, node: Node[R], keys: Iterable[CacheKey]) -> None:
        """Tell the structure of keys to every store in which users of a node are looked up."""
        for store in node.stores:
            for key in keys:
                if not key.ephemeral:
                    store.note(key)

    def _load(self, node: Node[R]) -> Phase:
        assert node.found_in is not None
        with self._changed:
            missing = sorted(node.missing_outputs)
        loaded: dict[int, R] = {}
        for output in missing:
            result = node.found_in.load(node.key, output)
            if result is None:
                for other in loaded.values():
                    other.release()
                node.cached = False  # it was pruned under us, or never kept: make it again
                return Phase.KEYED
            loaded[output] = result
        node.results = {**(node.results or {}), **loaded}
        return Phase.DONE

    def _take_over(self, node: Node[R]) -> Phase:
        """What the leader has made is this node's too."""
        leader = node.leader
        if leader is None:
            raise Cancelled("no build waits for this step any more")
        made = leader.results or {}
        node.results = {output: cast("R", result.clone()) for output, result in made.items()}
        if len(node.keys) > 1:
            node.stores[0].link(node.keys)
        return Phase.DONE

    def _execute(self, node: Node[R]) -> Phase:
        # Another build, also of another process, may have made it since it was looked up.
        if self._hit(node, node.key) is not None and self._load(node) is Phase.DONE:
            return Phase.DONE
        inputs = self._results(node, range(len(node.inputs)))
        if inputs is None:
            return Phase.KEYED
        announce(node, completed=False)
        context = NodeContext(node)
        results = tuple(node.op.execute(context, list(inputs.values())))
        if context.revisions:
            self._revise(node, context.revisions)
        node.results = dict(enumerate(results))
        node.stores[0].save(node.keys, results)
        announce(node, completed=True)
        return Phase.DONE

    def _revise(self, node: Node[R], revisions: Mapping[int, Digest | None]) -> None:
        """Give a node the keys of what its op read, which is not what it was keyed by."""
        keys, contents = revised_keys(node, revisions)
        if keys[-1].id in [key.id for key in node.keys]:
            return  # it is what it was keyed by after all
        with self._changed:
            self._made(node)
            node.keys = keys
        self._note(node, (*contents, *node.equivalent_keys))
