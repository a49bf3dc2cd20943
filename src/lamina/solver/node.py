"""One vertex of the running graph, and the states that it goes through.

    MAP ──► FAST ──► CONTENT ──► KEYED ──► DONE
     │        │          │          │
     └────────┴──────────┴──────────┴────► FAILED

MAP: the op says how it is keyed. FAST: once every input has a key, the definition-based key is
looked up. CONTENT: on a miss, and if the op can, what it reads of its inputs is digested and
looked up. KEYED: the key is settled, users can go on; the result is loaded or made only if
somebody wants it.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Generic

from lamina.solver.contract import R
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from lamina.base.errors import LaminaError
    from lamina.solver.contract import CacheMap, Op, VertexSpec
    from lamina.solver.job import Job
    from lamina.solver.key import CacheKey


class Phase(Enum):
    MAP = auto()
    FAST = auto()
    CONTENT = auto()
    KEYED = auto()
    DONE = auto()
    FAILED = auto()


class Node(Generic[R]):
    """State of one vertex; every field is guarded by the scheduler's lock."""

    __slots__ = (
        "busy",
        "cache_map",
        "cached",
        "cancel",
        "error",
        "inputs",
        "jobs",
        "keys",
        "op",
        "outputs",
        "phase",
        "results",
        "spec",
        "started",
        "users",
        "wanted",
    )

    def __init__(self, spec: VertexSpec, op: Op[R], inputs: list[tuple[Node[R], int]]) -> None:
        self.spec = spec
        self.op = op
        self.inputs = inputs
        self.users: list[Node[R]] = []
        self.jobs: list[Job[R]] = []
        self.outputs: set[int] = set()
        self.phase = Phase.MAP
        self.busy = False
        self.wanted = False
        self.cached = False
        self.cache_map: CacheMap | None = None
        self.keys: tuple[CacheKey, ...] = ()
        self.results: tuple[R, ...] | None = None
        self.error: LaminaError | None = None
        self.started: float | None = None
        self.cancel = Cancellation()

    @property
    def keyed(self) -> bool:
        return self.phase in (Phase.KEYED, Phase.DONE)

    @property
    def settled(self) -> bool:
        return self.phase in (Phase.DONE, Phase.FAILED)

    @property
    def key(self) -> CacheKey:
        """The key that users chain on. Only when `keyed`."""
        return self.keys[0]

    @property
    def content_inputs(self) -> list[int]:
        """Indexes of the inputs that the op can digest the content of."""
        assert self.cache_map is not None
        return [i for i, d in enumerate(self.cache_map.dependencies) if d.content is not None]
