"""Drives nodes through their phases: everything that can run at once does, and runs once.

All state changes happen in `_advance`, under one lock, which decides the next action of a
node; actions (asking an op for its key, looking up, executing) run in the pool without it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, cast

from lamina.base.digest import Digest, digest_of
from lamina.base.errors import Cancelled, Internal, LaminaError, from_os_error
from lamina.solver.chain import chain_records
from lamina.solver.contract import R
from lamina.solver.job import Job, NodeContext, announce
from lamina.solver.key import CacheKey, KeyInput, content_input, make_key
from lamina.solver.node import Node, Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.base.events import EventSink
    from lamina.solver.chain import ChainRecord, KeyStructures
    from lamina.solver.contract import Graph, Op, ResultStore, VertexSpec
    from lamina.system.cancel import Cancellation
    from lamina.system.threads import WorkerPool


class Scheduler(Generic[R]):
    """The shared graph of all builds in this process.

    Args:
        resolve: makes a vertex executable.
        store: where results are remembered.
        pool: runs the actions; its limit bounds how much happens at once.
    """

    def __init__(
        self, resolve: Callable[[VertexSpec], Op[R]], store: ResultStore[R], pool: WorkerPool
    ) -> None:
        self._resolve = resolve
        self._store = store
        self._pool = pool
        self._changed = threading.Condition()
        self._nodes: dict[tuple[Digest, bool], Node[R]] = {}

    def open_job(self, sink: EventSink, cancel: Cancellation) -> Job[R]:
        return Job(sink, cancel)

    def close_job(self, job: Job[R]) -> None:
        """Give up the job's claim: work that nobody else waits for is cancelled and awaited."""
        abandoned: list[Node[R]] = []
        with self._changed:
            for identity, node in job.nodes.items():
                node.jobs.remove(job)
                if not node.jobs:
                    abandoned.append(node)
                    if self._nodes.get(identity) is node:
                        del self._nodes[identity]
        for node in abandoned:
            node.cancel.cancel()
        with self._changed:
            while any(node.busy for node in abandoned):
                self._changed.wait()
            for node in abandoned:
                for source, _ in node.inputs:
                    if node in source.users:
                        source.users.remove(node)
                for result in node.results or ():
                    result.release()
                node.results = None
        job.nodes.clear()

    def solve(self, job: Job[R], graph: Graph) -> R:
        """Make the graph's target and return a handle on it, which the caller releases.

        Raises the first failing vertex's error, with its place in the text.
        """
        with self._changed:
            nodes = self._join(job, graph)
            index, output = graph.target
            target = nodes[index]
            target.wanted = True
            target.outputs.add(output)
            for node in nodes:
                self._advance(node)
            with job.cancel.calling(self._wake):
                while not target.settled and not job.cancel.cancelled:
                    failed = next((n for n in nodes if n.phase is Phase.FAILED), None)
                    if failed is not None and self._spoils(failed, target):
                        break
                    self._changed.wait()
            job.cancel.check()
            broken = next((n for n in nodes if n.phase is Phase.FAILED and n.error), None)
            if target.results is None:
                assert broken is not None
                assert broken.error is not None
                raise broken.error
            return cast("R", target.results[output].clone())

    def chain(self, job: Job[R], graph: Graph, store: KeyStructures) -> list[ChainRecord]:
        """The keys of everything that the solved target was made of, as caches carry them."""
        index, output = graph.target
        spec = graph.vertices[index]
        with self._changed:
            target = job.nodes[spec.digest, spec.ignore_cache]
        return chain_records(target, output, store)

    def key_of(self, job: Job[R], digest: Digest) -> CacheKey | None:
        """The key that a vertex of this job was settled on, if it was."""
        with self._changed:
            for node in job.nodes.values():
                if node.spec.digest == digest and node.keyed:
                    return node.key
        return None

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    @staticmethod
    def _spoils(failed: Node[R], target: Node[R]) -> bool:
        """Whether a failure makes the target impossible: it reaches it through its users."""
        seen = {id(failed)}
        stack = [failed]
        while stack:
            node = stack.pop()
            if node is target:
                return True
            for user in node.users:
                if id(user) not in seen:
                    seen.add(id(user))
                    stack.append(user)
        return False

    def _join(self, job: Job[R], graph: Graph) -> list[Node[R]]:
        """The graph's nodes, shared with other jobs where they are the same."""
        nodes: list[Node[R]] = []
        for spec in graph.vertices:
            identity = (spec.digest, spec.ignore_cache)
            inputs = [(nodes[index], output) for index, output in spec.inputs]
            node = self._nodes.get(identity)
            if node is None or node.phase is Phase.FAILED or node.cancel.cancelled:
                try:
                    op = self._resolve(spec)
                except LaminaError as error:
                    raise error.at(spec.location) from error
                node = Node(spec, op, inputs)
                for source, output in inputs:
                    source.users.append(node)
                    source.outputs.add(output)
                self._nodes[identity] = node
            if identity not in job.nodes:
                job.nodes[identity] = node
                node.jobs.append(job)
                if node.started is not None:
                    announce(node, completed=node.settled)
            nodes.append(node)
        return nodes

    # Called with the lock held.
    def _advance(self, node: Node[R]) -> None:
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
                elif self._demand(node, range(len(node.inputs))):
                    self._start(node, self._execute)

    def _expect_miss(self, node: Node[R]) -> None:
        """Make ahead of time what a node will digest, if its key cannot be known yet.

        An input that missed has never been used under this key, so its user will miss too, and
        want the input's content. Without this, copies that follow one another would wait for one
        stage after the other.
        """
        for index in node.content_inputs:
            source, _ = node.inputs[index]
            if source.phase is Phase.KEYED and not source.cached and not source.wanted:
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
            if not source.wanted:
                source.wanted = True
                self._advance(source)
        return ready

    def _start(self, node: Node[R], action: Callable[[Node[R]], Phase]) -> None:
        node.busy = True
        self._pool.submit(lambda: self._act(node, action))

    def _act(self, node: Node[R], action: Callable[[Node[R]], Phase]) -> None:
        error: LaminaError | None = None
        phase = Phase.FAILED
        try:
            node.cancel.check()
            phase = action(node)
        except LaminaError as caught:
            error = caught
        except OSError as caught:
            error = from_os_error(caught, node.spec.name)
            error.__cause__ = caught
        except Exception as caught:
            error = Internal(f"{node.spec.name}: {type(caught).__name__}: {caught}")
            error.__cause__ = caught
        if error is not None:
            error.at(node.spec.location)
            node.error = error
        if phase is Phase.FAILED and not isinstance(error, Cancelled):
            announce(node, completed=True)
        with self._changed:
            node.busy = False
            node.phase = phase
            self._advance(node)
            for user in node.users:
                self._advance(user)
            self._changed.notify_all()

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
        ephemeral = node.cache_map.ephemeral or any(s.key.ephemeral for s, _ in node.inputs)
        fast = make_key(node.cache_map.digest, parts, ephemeral=ephemeral)
        if not node.spec.ignore_cache:
            found = self._store.canonical(fast)
            if self._hit(node, found):
                node.keys = (found,) if found == fast else (found, fast)
                return Phase.KEYED
        node.keys = (fast,)
        return Phase.CONTENT if node.content_inputs else self._missed(node)

    def _look_up_content(self, node: Node[R]) -> Phase:
        assert node.cache_map is not None
        parts: list[KeyInput] = []
        ephemeral = False
        for (source, output), dependency in zip(
            node.inputs, node.cache_map.dependencies, strict=True
        ):
            if dependency.content is None:
                ephemeral = ephemeral or source.key.ephemeral
                parts.append(KeyInput(source.key.id, output, dependency.selector))
            else:
                assert source.results is not None
                content = make_key(dependency.content(source.results[output]))
                self._store.note(content)
                parts.append(content_input(content, dependency.selector))
        slow = make_key(node.cache_map.digest, parts, ephemeral=ephemeral)
        fast = node.keys[-1]
        node.keys = (slow, fast)
        if not node.spec.ignore_cache:
            found = self._store.canonical(slow)
            if self._hit(node, found):
                node.keys = (found, *(key for key in (slow, fast) if key != found))
                self._store.link(node.keys)
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
        return Phase.KEYED

    def _hit(self, node: Node[R], key: CacheKey) -> bool:
        if key.ephemeral:
            return False
        outputs = node.outputs or {0}
        if not all(self._store.has(key, output) for output in outputs):
            return False
        node.cached = True
        announce(node, completed=True)
        return True

    def _load(self, node: Node[R]) -> Phase:
        results: list[R] = []
        for output in range(max(node.outputs or {0}) + 1):
            result = self._store.load(node.key, output)
            if result is None:
                for loaded in results:
                    loaded.release()
                node.cached = False  # it was pruned under us: make it again
                return Phase.KEYED
            results.append(result)
        node.results = tuple(results)
        return Phase.DONE

    def _execute(self, node: Node[R]) -> Phase:
        announce(node, completed=False)
        inputs = [source.results[output] for source, output in node.inputs if source.results]
        results = tuple(node.op.execute(NodeContext(node), inputs))
        node.results = results
        self._store.save(node.keys, results)
        announce(node, completed=True)
        return Phase.DONE
