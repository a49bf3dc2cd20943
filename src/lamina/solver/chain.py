"""Solved graphs as chains of records, which cache export writes.

A record is one output of a vertex as part of a cache key: a digest, and for each input the records
that it can be. An input whose content was digested can be two records: the input itself, and the
digest of the content.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from lamina.base.named_tuple import NamedTuple
from lamina.solver.key import CONTENT_OUTPUT, record_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lamina.base.digest import Digest
    from lamina.solver.key import CacheKey
    from lamina.solver.node import Node


class ChainLink(NamedTuple):
    """A record that an input can be: its index, and how the input is used."""

    record: int
    selector: str = ""


class ChainRecord(NamedTuple):
    """A record. `key` and `output` are those of its result, if it can have one."""

    digest: Digest
    inputs: tuple[tuple[ChainLink, ...], ...] = ()
    key: CacheKey | None = None
    output: int = 0


class KeyStructures(Protocol):
    """Looks up the structure of keys."""

    def structures(self, key_id: Digest) -> Iterable[CacheKey]:
        """All known structures of a key: definition-based and content-based ones."""
        ...


def chain_records(
    targets: Sequence[tuple[Node[Any], int]], store: KeyStructures
) -> list[ChainRecord]:
    """The records of targets (outputs of nodes) and of all nodes below, inputs before users.

    Nodes that depend on an ephemeral key are left out: a directory of this client, unless its
    content was digested. The job that holds the nodes must be open.
    """
    chain = _Chain(store)
    for target, output in targets:
        chain.add(target, output)
    return chain.records


class _Chain:
    def __init__(self, store: KeyStructures) -> None:
        self._store = store
        self.records: list[ChainRecord] = []
        self._made: dict[tuple[int, int], tuple[int, ...]] = {}
        self._contents: dict[Digest, int] = {}

    def add(self, target: Node[Any], output: int) -> None:
        # Not recursive: graphs are deeper than Python's stack.
        stack = [(target, output)]
        while stack:
            node, wanted = stack[-1]
            missing = [
                (source, number)
                for source, number in node.inputs
                if (id(source), number) not in self._made
            ]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            if (id(node), wanted) not in self._made:
                self._made[id(node), wanted] = self._add(node, wanted)

    def _add(self, node: Node[Any], output: int) -> tuple[int, ...]:
        """The records of an output: one for each digest of the op, none if it is left out."""
        mapped = node.cache_map
        if mapped is None or mapped.ephemeral or not node.keyed or node.outdated:
            return ()
        contents = self._content_records(node)
        inputs: list[tuple[ChainLink, ...]] = []
        for index, ((source, number), dependency) in enumerate(
            zip(node.inputs, mapped.dependencies, strict=True)
        ):
            links = [
                ChainLink(record, dependency.selector) for record in self._made[id(source), number]
            ]
            # BuildKit links content without a selector.
            links += [ChainLink(content) for content in contents.get(index, ())]
            if not links:
                return ()
            inputs.append(tuple(links))
        key = node.key if node.inputs else None
        made = []
        for digest in (mapped.digest, *mapped.aliases):
            record = ChainRecord(record_digest(digest, output), tuple(inputs), key, output)
            made.append(len(self.records))
            self.records.append(record)
        return tuple(made)

    def _content_records(self, node: Node[Any]) -> dict[int, list[int]]:
        """The records of the content digests that keys of this node are made of, by input."""
        found: dict[int, list[int]] = {}
        ids = dict.fromkeys(key.id for key in node.keys)
        for key in [*node.keys, *(k for i in ids for k in self._store.structures(i))]:
            for index, part in enumerate(key.inputs):
                if part.output != CONTENT_OUTPUT:
                    continue
                for content in self._store.structures(part.key):
                    record = self._content(content)
                    if record not in found.setdefault(index, []):
                        found[index].append(record)
        return found

    def _content(self, content: CacheKey) -> int:
        record = self._contents.get(content.digest)
        if record is None:
            self.records.append(ChainRecord(record_digest(content.digest, CONTENT_OUTPUT)))
            record = self._contents[content.digest] = len(self.records) - 1
        return record
