"""The nodes that states are made of, and their evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import LaminaError, NotFound
from lamina.base.location import Location
from lamina.base.named_tuple import NamedTuple
from lamina.dockerfile.graph import Step, encode
from lamina.llb.op import Definition, SourceInfo
from lamina.llb.state import marshal
from lamina.states.caller import LANGUAGE, find_caller

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lamina.base.platform import Platform
    from lamina.dockerfile.graph import Inputs
    from lamina.dockerfile.image_config import ImageConfig
    from lamina.gateway.client import GatewayClient
    from lamina.llb.op import Op, OpProgressGroup
    from lamina.states.caller import Caller

    Evaluate = Callable[["Evaluation", tuple["Value", ...]], "Value"]


class Directory(NamedTuple):
    """A directory of the client, as a named context: `name` is its name in the session.

    `kind` is `local` or `oci-layout`; the path of a layout is `/directory[:tag][@digest]`.
    """

    name: str
    path: str
    kind: str = "local"


class Value(NamedTuple):
    """A state, evaluated for one platform.

    `tree` is None for an empty file system. `outputs` are the writable mounts of the last command,
    by target. `group` is the progress group of further steps.
    """

    tree: Step | None
    config: ImageConfig
    outputs: Mapping[str, Step] = {}
    group: OpProgressGroup | None = None


class Node:
    """One operation of a state. Compared by identity.

    Args:
        evaluate: makes the value from those of `parents`.
        directory: the client's directory that this node reads.
        owner: the identity of the builder that the node belongs to, None for all builders.
    """

    __slots__ = ("caller", "directory", "evaluate", "owner", "parents")

    def __init__(
        self,
        evaluate: Evaluate,
        parents: tuple[Node, ...] = (),
        *,
        directory: Directory | None = None,
        owner: object = None,
    ) -> None:
        self.evaluate = evaluate
        self.parents = parents
        self.directory = directory
        self.owner = owner
        self.caller = find_caller()


class Evaluation:
    """The evaluation of states for one platform.

    Args:
        attributes: the attributes of the frontend, with the addresses of the client's directories
            (`context:NAME`).
    """

    def __init__(
        self, gateway: GatewayClient, platform: Platform, attributes: Mapping[str, str]
    ) -> None:
        self.gateway = gateway
        self.platform = platform
        self._attributes = attributes
        self._values: dict[Node, Value] = {}
        self._texts: dict[str, SourceInfo | None] = {}

    def value(self, node: Node) -> Value:
        """Evaluate a node and all below it. Not recursive: states are deeper than Python's stack.

        Raises LaminaError, with the line of the user's Python.
        """
        stack = [node]
        while stack:
            last = stack[-1]
            waiting = [parent for parent in last.parents if parent not in self._values]
            if waiting:
                stack.extend(waiting)
                continue
            stack.pop()
            if last not in self._values:
                self._values[last] = self._evaluate(last)
        return self._values[node]

    def definition(self, node: Node) -> Definition:
        """The definition of a node's file system; one without ops if it is empty."""
        tree = self.value(node).tree
        return Definition() if tree is None else marshal(encode(tree))

    def address_of(self, directory: Directory) -> str:
        """The address of a client's directory: `local:NAME`, `oci-layout://STORE@DIGEST`.

        Raises NotFound.
        """
        address = self._attributes.get(f"context:{directory.name}", "")
        if not address:
            raise NotFound(
                f"the client does not provide {directory.path}",
                hint="a frontend reads the client's files with lamina.frontend.context()",
            )
        return address

    def step(
        self,
        make: Callable[[Inputs], Op],
        parents: tuple[Step | None, ...],
        caller: Caller | None,
        *,
        name: str,
        ignore_cache: bool = False,
        group: OpProgressGroup | None = None,
    ) -> Step:
        """A step with the line of the user's Python. The arguments are as of `Step`."""
        source = location = None
        if caller is not None and (source := self._source(caller)) is not None:
            location = Location(caller.filename, caller.line, caller.line, language=LANGUAGE)
        return Step(
            make,
            parents,
            name=name,
            ignore_cache=ignore_cache,
            group=group,
            source=source,
            location=location,
        )

    def _source(self, caller: Caller) -> SourceInfo | None:
        """The text of a caller's file, read once. None if it cannot be read."""
        if caller.filename not in self._texts:
            text = caller.text().encode()
            info = SourceInfo(caller.filename, text, language=LANGUAGE) if text else None
            self._texts[caller.filename] = info
        return self._texts[caller.filename]

    def _evaluate(self, node: Node) -> Value:
        try:
            return node.evaluate(self, tuple(self._values[parent] for parent in node.parents))
        except LaminaError as error:
            if node.caller is None:
                raise
            raise error.at(node.caller.location()) from error


def key_of(tree: Step | None) -> tuple[str, int] | None:
    """What two trees have in common if they are the same output of the same op."""
    if tree is None:
        return None
    edge = encode(tree)
    return edge.vertex.digest, edge.output


def nodes_below(roots: Iterable[Node]) -> list[Node]:
    """All nodes of some states, each once."""
    found: dict[Node, None] = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node not in found:
            found[node] = None
            stack.extend(node.parents)
    return list(found)
