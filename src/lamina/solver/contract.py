"""The ports of the solver: ops, and stores of results.

The solver schedules. An op computes its part of the cache key, and runs when the solver calls it.
`R` is the type of a result (`Ref` in the engine); the solver only passes results on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.base.digest import Digest
    from lamina.base.events import Event, ProgressGroup
    from lamina.base.location import Location
    from lamina.solver.key import CacheKey
    from lamina.system.cancel import Cancellation


R = TypeVar("R")


class Dependency(NamedTuple):
    """How an input contributes to the cache key of an op.

    `selector` distinguishes uses of the same input (the source path of a mount). `content`
    computes the digest of the part of the input's result that the op reads. A key made of it stays
    the same when the input is rebuilt with the same content.
    """

    selector: str = ""
    content: Callable[[Any], Digest] | None = None  # of a result of type R


class CacheMap(NamedTuple):
    """The parts of an op's cache key: its own digest, and one dependency per input.

    `ephemeral`: the digest is only valid in this build. `aliases`: further digests of an op without
    inputs, which imported caches may have. `unexported`: another part of the key, which BuildKit's
    cache format has no field for, so it only counts in this store. `resolved` is what a source has
    now, for explanations: a git ref and its commit with a space between, or the digest of a
    download.
    """

    digest: Digest
    dependencies: tuple[Dependency, ...] = ()
    ephemeral: bool = False
    aliases: tuple[Digest, ...] = ()
    unexported: str = ""
    resolved: str = ""


class OpContext(Protocol):
    """The interface for an op in `cache_map` and `execute`."""

    @property
    def cancel(self) -> Cancellation: ...

    @property
    def digest(self) -> Digest:
        """The vertex of the events that the op emits."""

    @property
    def has_users(self) -> bool:
        """Whether other ops of the graph read the results."""
        ...

    def emit(self, event: Event) -> None: ...

    def revise(self, index: int, content: Digest | None) -> None:
        """Report that an input had changed between `Dependency.content` and reading it.

        `content` is the digest of what was read; the results are stored under the key made of
        it. None: the digest is unknown, and the results are not stored.
        """
        ...


class Op(Protocol[R]):
    """One operation of a definition, made executable."""

    def cache_map(self, context: OpContext) -> CacheMap: ...

    def execute(self, context: OpContext, inputs: Sequence[R]) -> Sequence[R]:
        """Run, and return the results by output."""
        ...


class VertexSpec(NamedTuple):
    """A vertex as data. `inputs` are (index into the graph's vertices, output).

    `extra` is passed to the code that makes the op executable; it is not part of the identity.
    """

    digest: Digest
    name: str
    inputs: tuple[tuple[int, int], ...]
    data: bytes
    ignore_cache: bool = False
    location: Location | None = None
    group: ProgressGroup | None = None
    hidden: bool = False
    extra: object = None


class Graph(NamedTuple):
    """Vertices, inputs before users, and the requested edge: (vertex index, output)."""

    vertices: tuple[VertexSpec, ...]
    target: tuple[int, int]


class ResultStore(Protocol[R]):
    """Stores results by cache key, beyond the life of this process.

    A result has one canonical key; other keys are its aliases. A key is recorded with its structure
    (`CacheKey.inputs`), which cache export needs. A recorded key may have no result.

    | method        | does                                                | does not               |
    |---------------|-----------------------------------------------------|------------------------|
    | has           | look a result up, and count it as used; may import  | load, hold, or follow  |
    |               | it from another cache first                         | aliases                |
    | has_seen      | say whether a key is recorded, maybe with no result | say there is a result  |
    | canonical_key | follow an alias                                     | look a result up       |
    | note_key      | keep the structure of a key in memory, until a key  | write to disk          |
    |               | made of it is saved                                 |                        |
    | load          | return a result, held for the builds that run now   | make sure of its files |
    | save          | record keys, their results and aliases              | store under ephemeral  |
    |               |                                                     | keys                   |
    | add_aliases   | record further keys of a result that is stored      | store a result         |
    | hold          | keep a result from being pruned while the builds    | concern keys           |
    |               | last that run now                                   |                        |
    | imported_from | say from which cache this build imported a result   | look a result up       |

    Implementations are thread-safe.
    """

    def has(self, key: CacheKey, output: int) -> bool: ...

    def has_seen(self, key: CacheKey, output: int) -> bool: ...

    def canonical_key(self, key: CacheKey) -> CacheKey:
        """The key whose alias this is; `key` itself if it is none."""
        ...

    def note_key(self, key: CacheKey) -> None: ...

    def load(self, key: CacheKey, output: int) -> R | None:
        """The result stored under a canonical key; None if there is none or its files are gone."""
        ...

    def save(self, keys: Sequence[CacheKey], results: Sequence[R]) -> None:
        """Store `results`, by output, under the first of `keys`; the others become aliases."""
        ...

    def add_aliases(self, keys: Sequence[CacheKey]) -> None:
        """Make all keys but the first aliases of the first."""
        ...

    def hold(self, result: R) -> bool:
        """Return whether the result still exists."""
        ...

    def imported_from(self, key: CacheKey, output: int) -> str:
        """The location of the cache, "" if the store had the result before the build."""
        ...
