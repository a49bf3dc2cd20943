"""A vertex in the running graph, and its state machine.

    MAP ──► FAST ──► CONTENT ──► KEYED ──► DONE
     │        │          │          │
     └────────┴──────────┴──────────┴────► FAILED

- MAP: the op says how its cache key is made (`CacheMap`).
- FAST: when every input has a key, the definition-based key is looked up.
- CONTENT: on a miss, and if the op supports it, what the op reads of its inputs is digested and
  the content-based key is looked up.
- KEYED: the key is final, so users can go on. The result is loaded or made only if it is wanted.

A failed node fails every user that needs its result.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Generic

from lamina.base.errors import Cancelled, InvalidInput
from lamina.solver.contract import R
from lamina.solver.event_backlog import EventBacklog
from lamina.solver.key import make_key
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.base.digest import Digest
    from lamina.base.errors import LaminaError
    from lamina.solver.contract import CacheMap, Op, ResultStore, VertexSpec
    from lamina.solver.job import Identity, Job
    from lamina.solver.key import CacheKey, KeyInput
    from lamina.solver.lookup import CacheLookup


class Phase(Enum):
    MAP = auto()
    FAST = auto()
    CONTENT = auto()
    KEYED = auto()
    DONE = auto()
    FAILED = auto()


class Node(Generic[R]):
    """A vertex and its state, shared by all jobs that need it.

    Who may write which fields:

    - `spec`, `inputs`, `op`, `cancel` and `backlog` are set before other threads see the node.
    - The fields under "action" in the constructor are written by the thread that runs the node's
      action while `busy`, and with the scheduler's lock held while not `busy`. Other threads read
      `keys`, `key_unseen` and `cache_map` of a `keyed` node only: then they are final.
    - `lookup` is written by that thread with `backlog.lock` held.
    - All others are written with the scheduler's lock held; `jobs`, `aliases` and `last` with
      `backlog.lock` held as well.

    Values are replaced, not mutated, so a thread that reads a field without a lock gets a whole
    value. The exceptions are `users`, `followers` and `aliases`, which are read with a lock only.
    """

    __slots__ = (
        "aliases",
        "backlog",
        "busy",
        "cache_map",
        "cached",
        "cancel",
        "error",
        "followers",
        "found_in",
        "input_keys",
        "inputs",
        "jobs",
        "key_unseen",
        "keys",
        "last",
        "leader",
        "lookup",
        "op",
        "outputs",
        "phase",
        "results",
        "spec",
        "started",
        "users",
        "wanted",
    )

    op: Op[R]

    def __init__(self, spec: VertexSpec, inputs: list[tuple[Node[R], int]]) -> None:
        self.spec = spec
        self.inputs = inputs
        self.cancel = Cancellation()
        self.backlog = EventBacklog()
        # Graph and scheduling.
        self.users: list[Node[R]] = []
        self.jobs: tuple[Job[R], ...] = ()
        self.outputs: frozenset[int] = frozenset()  # the outputs that somebody wants
        self.wanted = False
        self.phase = Phase.MAP
        self.busy = False  # an action runs or is about to run
        self.error: LaminaError | None = None
        self.leader: Node[R] | None = None  # the node that makes the results of this one
        self.followers: list[Node[R]] = []
        # For jobs that hold this node as a leader only: their own node, None to hide the events.
        self.aliases: dict[Job[R], Node[R] | None] = {}
        # The last job that left, and its own node: it still gets the final events.
        self.last: tuple[Job[R], Node[R] | None] | None = None
        # Action.
        self.cache_map: CacheMap | None = None
        self.keys: tuple[CacheKey, ...] = ()
        self.input_keys: tuple[Digest, ...] = ()  # the inputs' keys that `keys` were made of
        self.key_unseen = False  # no store has ever recorded the key
        self.cached = False
        self.found_in: ResultStore[R] | None = None  # the store of the result, if `cached`
        self.results: dict[int, R] | None = None  # by output; if `cached`, only those wanted
        self.started: float | None = None  # seconds since the epoch
        self.lookup: CacheLookup | None = None  # the last report, for jobs that join later

    @property
    def identity(self) -> Identity:
        return (self.spec.digest, self.spec.ignore_cache)

    @property
    def keyed(self) -> bool:
        return self.phase in (Phase.KEYED, Phase.DONE)

    @property
    def settled(self) -> bool:
        return self.phase in (Phase.DONE, Phase.FAILED)

    @property
    def needs_inputs(self) -> bool:
        """Whether the failure of an input fails this node too."""
        return not self.settled and not (self.phase is Phase.KEYED and self.cached)

    def result(self, output: int) -> R:
        """The result of one output, when DONE. Raises InvalidInput if the op has no such output."""
        if self.results is None or output not in self.results:
            raise InvalidInput(f"{self.spec.name} has no output {output}")
        return self.results[output]

    def want(self, output: int) -> None:
        """Request one more output. A node that is DONE without it goes back to KEYED."""
        self.outputs |= {output}
        if self.phase is Phase.DONE and self.missing_outputs:
            self.phase = Phase.KEYED

    @property
    def requested_outputs(self) -> frozenset[int]:
        """The outputs to look up: those that are wanted, or the first if none is."""
        return self.outputs or frozenset({0})

    @property
    def missing_outputs(self) -> frozenset[int]:
        """The requested outputs that have no result yet."""
        return self.requested_outputs - (self.results or {}).keys()

    def make_key(self, parts: Sequence[KeyInput], *, ephemeral: bool) -> CacheKey:
        """The key made of these parts. Only after MAP."""
        mapped = self.cache_map
        assert mapped is not None
        return make_key(mapped.digest, parts, ephemeral=ephemeral, unexported=mapped.unexported)

    @property
    def key(self) -> CacheKey:
        """The key that the keys of users are made of. Only when `keyed`."""
        return self.keys[0]

    @property
    def stores(self) -> list[ResultStore[R]]:
        """The result stores of the jobs that hold the node. Raises Cancelled if none does."""
        stores = [job.store for job in self.jobs]
        if not stores:
            raise Cancelled("no build waits for this step any more")
        return stores

    def inputs_to_make_early(self) -> list[Node[R]]:
        """The inputs that are not wanted yet, but whose content will be digested for the key.

        If no store has recorded the key of an input, no key made of it is recorded either. So the
        definition-based key of this node will miss, and the content of the input is needed.
        Making it now lets the stages that several COPY steps read run in parallel. (A recorded
        key may lack a result: an imported cache has the keys of all stages, not all results.)
        """
        inputs = [self.inputs[index][0] for index in self.content_inputs]
        return [s for s in inputs if s.phase is Phase.KEYED and s.key_unseen and not s.wanted]

    @property
    def outdated(self) -> bool:
        """Whether the key of an input has changed since `keys` were made (`revision`)."""
        return self.input_keys != tuple(source.key.id for source, _ in self.inputs)

    @property
    def equivalent_keys(self) -> list[CacheKey]:
        """All structures that imported caches may have for its key. Only when `keyed`."""
        assert self.cache_map is not None
        key = self.key
        aliases = [key._replace(digest=digest) for digest in self.cache_map.aliases]
        return [*(other._replace(id=key.id) for other in self.keys), *aliases]

    @property
    def content_inputs(self) -> list[int]:
        """Indexes of the inputs whose content the op can digest. Only after MAP."""
        assert self.cache_map is not None
        return [i for i, d in enumerate(self.cache_map.dependencies) if d.content is not None]
