"""The actions of nodes: what runs in the worker pool to get a node to its next phase.

The thread that runs an action owns the action fields of its node (see `Node`), and returns the
node's next phase. It takes the scheduler's lock only to read or write fields that this guards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from lamina.base.digest import Digest, digest_of
from lamina.base.errors import Cancelled
from lamina.solver.contract import R
from lamina.solver.failure import of_content
from lamina.solver.job import NodeContext, announce, hold_results, report_lookup
from lamina.solver.key import CacheKey, KeyInput, content_input, make_key
from lamina.solver.lookup import lookup_of
from lamina.solver.node import Node, Phase
from lamina.solver.revision import revised_keys

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Mapping


class RunningNodes(Generic[R]):
    """The nodes that execute, by cache key. Guarded by the scheduler's lock."""

    def __init__(self) -> None:
        self._by_key: dict[Digest, Node[R]] = {}

    def leader_for(self, node: Node[R]) -> Node[R] | None:
        """Another node that executes under the same key, which `node` can follow."""
        leader = None if node.key.ephemeral else self._by_key.get(node.key.id)
        return None if leader is node or leader is None or leader.cancel.cancelled else leader

    def add(self, node: Node[R]) -> None:
        self._by_key[node.key.id] = node

    def remove(self, node: Node[R]) -> None:
        if node.keys and self._by_key.get(node.key.id) is node:
            del self._by_key[node.key.id]


class Actions(Generic[R]):
    """Runs actions. `lock` and `running` are the scheduler's."""

    def __init__(self, lock: threading.Condition, running: RunningNodes[R]) -> None:
        self._lock = lock
        self._running = running

    def map(self, node: Node[R]) -> Phase:
        node.cache_map = node.op.cache_map(NodeContext(node))
        return Phase.FAST

    def look_up_fast(self, node: Node[R]) -> Phase:
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
            self._report_hit(node, fast, {})
            return Phase.KEYED
        return Phase.CONTENT if node.content_inputs else self._missed(node, fast, {})

    def look_up_content(self, node: Node[R]) -> Phase:
        assert node.cache_map is not None
        if node.outdated:
            return Phase.FAST
        store = node.stores[0]
        results = self._input_results(node, node.content_inputs)
        if results is None:
            return Phase.CONTENT
        parts: list[KeyInput] = []
        contents: dict[int, Digest] = {}
        ephemeral = False
        for index, ((source, output), dependency) in enumerate(
            zip(node.inputs, node.cache_map.dependencies, strict=True)
        ):
            if dependency.content is None:
                ephemeral = ephemeral or source.key.ephemeral
                parts.append(KeyInput(source.key.id, output, dependency.selector))
            else:
                with of_content(results[index], node.spec, index):
                    contents[index] = dependency.content(results[index])
                content = make_key(contents[index])
                self._note(node, [content])
                parts.append(content_input(content, dependency.selector))
        slow = node.make_key(parts, ephemeral=ephemeral)
        fast = node.keys[-1]
        node.keys = (slow, fast)
        found = self._hit(node, slow)
        if found is not None:
            node.keys = (found, *(key for key in (slow, fast) if key != found))
            store.add_aliases(node.keys)
            self._report_hit(node, slow, contents)
            return Phase.KEYED
        return self._missed(node, slow, contents)

    def _missed(self, node: Node[R], made: CacheKey, contents: Mapping[int, Digest]) -> Phase:
        """Settle the key after a cache miss. `made` and `contents` are as in `lookup_of`.

        A step that ignores the cache gets a random key, so that its users do not find results that
        were made from its earlier output.
        """
        if node.spec.ignore_cache:
            import os

            fresh = make_key(digest_of(os.urandom(32)))
            node.keys = (fresh, *node.keys)
            node.key_unseen = True
        else:
            stores = node.stores
            node.key_unseen = not any(
                store.has_seen(node.key, output)
                for store in stores
                for output in node.requested_outputs
            )
        report_lookup(node, lookup_of(node, made, contents, hit=False))
        return Phase.KEYED

    @staticmethod
    def _report_hit(node: Node[R], made: CacheKey, contents: Mapping[int, Digest]) -> None:
        assert node.found_in is not None
        origin = node.found_in.imported_from(node.key, min(node.requested_outputs))
        report_lookup(node, lookup_of(node, made, contents, hit=True, origin=origin))

    def _hit(self, node: Node[R], key: CacheKey) -> CacheKey | None:
        """The key under which the store of a job has all requested outputs; None on a miss."""
        if key.ephemeral or node.spec.ignore_cache:
            return None
        outputs = node.requested_outputs
        for store in node.stores:
            found = store.canonical_key(key)
            if all(store.has(found, output) for output in outputs):
                node.cached = True
                node.found_in = store
                announce(node, completed=True)
                return found
        return None

    def _input_results(self, node: Node[R], indexes: Iterable[int]) -> dict[int, R] | None:
        """The results of these inputs, by index. None if one of them is not DONE any more.

        An input goes back to KEYED when another build requests one more output of it.
        """
        with self._lock:
            inputs = {index: node.inputs[index] for index in indexes}
            if not all(source.phase is Phase.DONE for source, _ in inputs.values()):
                return None
            return {index: source.result(output) for index, (source, output) in inputs.items()}

    def _note(self, node: Node[R], keys: Iterable[CacheKey]) -> None:
        """Tell the structure of keys to every store in which users of a node are looked up."""
        for store in node.stores:
            for key in keys:
                if not key.ephemeral:
                    store.note_key(key)

    def load(self, node: Node[R]) -> Phase:
        """Load the cached results that are wanted. They may be gone: then the node has to run."""
        assert node.found_in is not None
        with self._lock:
            wanted = sorted(node.missing_outputs)
        loaded: dict[int, R] = {}
        for output in wanted:
            result = node.found_in.load(node.key, output)
            if result is None:
                node.cached = False  # it was pruned since the look-up
                return Phase.KEYED
            loaded[output] = result
        node.results = {**(node.results or {}), **loaded}
        return self._held(node)

    def take_over(self, node: Node[R]) -> Phase:
        """Use the results of the leader."""
        leader = node.leader
        if leader is None:
            raise Cancelled("no build waits for this step any more")
        node.results = dict(leader.results or {})
        if len(node.keys) > 1:
            node.stores[0].add_aliases(node.keys)
        return self._held(node)

    def execute(self, node: Node[R]) -> Phase:
        # Another process may have stored the result since the look-up.
        if self._hit(node, node.key) is not None and self.load(node) is Phase.DONE:
            return Phase.DONE
        inputs = self._input_results(node, range(len(node.inputs)))
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
        return self._held(node)

    def _revise(self, node: Node[R], revisions: Mapping[int, Digest | None]) -> None:
        """Replace the keys of a node whose op read other content than the keys were made of."""
        keys, contents = revised_keys(node, revisions)
        if keys[-1].id in [key.id for key in node.keys]:
            return  # the content is the same again
        with self._lock:
            self._running.remove(node)
            node.keys = keys
        self._note(node, (*contents, *node.equivalent_keys))
        if node.lookup is not None:
            parts = [
                part._replace(digest=revisions.get(index) or "") if index in revisions else part
                for index, part in enumerate(node.lookup.parts)
            ]
            revised = node.lookup._replace(
                key=node.key.id, parts=tuple(parts), ephemeral=node.key.ephemeral
            )
            report_lookup(node, revised)

    @staticmethod
    def _held(node: Node[R]) -> Phase:
        """Hold the results for the builds that run now: others may have started meanwhile.

        Results that were pruned before that are made again.
        """
        if hold_results(node.stores[0], node):
            return Phase.DONE
        node.results, node.cached = None, False
        return Phase.KEYED
