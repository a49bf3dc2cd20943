"""One vertex of the running graph, and the states that it goes through.

    MAP ──► FAST ──► CONTENT ──► KEYED ──► DONE
     │        │          │          │
     └────────┴──────────┴──────────┴────► FAILED

MAP: the op says how it is keyed. FAST: once every input has a key, the definition-based key is
looked up. CONTENT: on a miss, and if the op can, what it reads of its inputs is digested and
looked up. KEYED: the key is settled, users can go on; the result is loaded or made only if
somebody wants it. A failure fails every user that cannot do without the node's result.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Generic

from lamina.base.errors import Cancelled, InvalidInput
from lamina.solver.contract import R
from lamina.solver.key import make_key
from lamina.solver.past import Past
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.base.digest import Digest
    from lamina.base.errors import LaminaError
    from lamina.solver.contract import CacheMap, Op, ResultStore, VertexSpec
    from lamina.solver.job import Identity, Job
    from lamina.solver.key import CacheKey, KeyInput


class Phase(Enum):
    MAP = auto()
    FAST = auto()
    CONTENT = auto()
    KEYED = auto()
    DONE = auto()
    FAILED = auto()


class Node(Generic[R]):
    """State of one vertex. Three groups of fields, by who may write them:

    - `spec`, `inputs`, `op`, `cancel`, `past` are set once, before another thread sees the node.
    - `cache_map`, `keys`, `novel`, `cached`, `found_in`, `results`, `started` belong to whoever
      runs the node's action while `busy`, and to whoever holds the scheduler's lock while not.
      Other threads read `keys`, `novel` and `cache_map` of a `keyed` node, where they are final.
    - all others are written with the scheduler's lock held; `jobs`, `aliases` and `last` with
      that of `past` as well.

    Values are replaced and never changed, but for `users`, `followers` and `aliases`, which are
    only read with a lock. So whoever reads one of the others without a lock sees a whole value.
    """

    __slots__ = (
        "aliases",
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
        "keys",
        "last",
        "leader",
        "novel",
        "op",
        "outputs",
        "past",
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
        self.users: list[Node[R]] = []
        self.jobs: tuple[Job[R], ...] = ()
        self.outputs: frozenset[int] = frozenset()
        self.phase = Phase.MAP
        self.busy = False
        self.wanted = False
        self.cached = False
        self.found_in: ResultStore[R] | None = None  # where, if it is cached
        self.cache_map: CacheMap | None = None
        self.keys: tuple[CacheKey, ...] = ()
        self.input_keys: tuple[Digest, ...] = ()  # what its keys were made of
        self.novel = False  # no store has ever heard of its key
        self.results: dict[int, R] | None = None  # by output; of a cached one, those wanted
        self.error: LaminaError | None = None
        self.started: float | None = None
        self.cancel = Cancellation()
        self.leader: Node[R] | None = None  # who makes its results, if not itself
        self.followers: list[Node[R]] = []
        # What jobs that only claim this node know it as: their own node, or (None) not at all.
        self.aliases: dict[Job[R], Node[R] | None] = {}
        # The job that left an abandoned node last, and what it knows the node as: it hears the end.
        self.last: tuple[Job[R], Node[R] | None] | None = None
        self.past = Past()

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
        """Whether it cannot be finished once an input has failed."""
        return not self.settled and not (self.phase is Phase.KEYED and self.cached)

    def result(self, output: int) -> R:
        """One output, when it is done. Raises InvalidInput if the op has no such output."""
        if self.results is None or output not in self.results:
            raise InvalidInput(f"{self.spec.name} has no output {output}")
        return self.results[output]

    def want(self, output: int) -> None:
        """Have one more output looked up and loaded; it may have been settled without."""
        self.outputs |= {output}
        if self.phase is Phase.DONE and self.lacking:
            self.phase = Phase.KEYED

    @property
    def sought(self) -> frozenset[int]:
        """The outputs to look up: those that are wanted, the first if none is."""
        return self.outputs or frozenset({0})

    @property
    def lacking(self) -> frozenset[int]:
        """The wanted outputs whose results are not there."""
        return self.sought - (self.results or {}).keys()

    def make_key(self, parts: Sequence[KeyInput], *, ephemeral: bool) -> CacheKey:
        """The key that these parts of its inputs make. Only when it is mapped."""
        mapped = self.cache_map
        assert mapped is not None
        return make_key(mapped.digest, parts, ephemeral=ephemeral, unexported=mapped.unexported)

    @property
    def key(self) -> CacheKey:
        """The key that users chain on. Only when `keyed`."""
        return self.keys[0]

    @property
    def stores(self) -> list[ResultStore[R]]:
        """Those of the jobs that hold it. Raises Cancelled if none does."""
        stores = [job.store for job in self.jobs]
        if not stores:
            raise Cancelled("nobody waits for this any more")
        return stores

    def certain_to_be_read(self) -> list[Node[R]]:
        """The inputs that are not wanted yet, but will be digested for this node's key.

        An input whose key is new has never been used under it, so its user will miss too, and
        want the input's content. Without this, copies that follow one another would wait for one
        stage after the other. (A key may be known without its result: caches carry what images
        are made of, and not always the stages that led to it.)
        """
        inputs = [self.inputs[index][0] for index in self.content_inputs]
        return [s for s in inputs if s.phase is Phase.KEYED and s.novel and not s.wanted]

    @property
    def outdated(self) -> bool:
        """Whether an input has got another key since its own keys were made (`revision`)."""
        return self.input_keys != tuple(source.key.id for source, _ in self.inputs)

    @property
    def forms(self) -> list[CacheKey]:
        """Everything that its key may look like in caches that travel. Only when `keyed`."""
        assert self.cache_map is not None
        key = self.key
        aliases = [key._replace(digest=digest) for digest in self.cache_map.aliases]
        return [*(other._replace(id=key.id) for other in self.keys), *aliases]

    @property
    def content_inputs(self) -> list[int]:
        """Indexes of the inputs that the op can digest the content of."""
        assert self.cache_map is not None
        return [i for i, d in enumerate(self.cache_map.dependencies) if d.content is not None]
