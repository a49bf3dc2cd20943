"""The solver's ports: what an op tells it, and what it keeps results in.

The solver schedules; an op only says how it is keyed, and runs when told. `R` is the type of
a result (a ref, for the engine), which the solver merely counts and hands on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.base.digest import Digest
    from lamina.base.events import Event, ProgressGroup
    from lamina.base.location import Location
    from lamina.solver.key import CacheKey
    from lamina.system.cancel import Cancellation


class Result(Protocol):
    """A counted handle. Whoever holds one releases it exactly once."""

    def clone(self) -> Result: ...

    def release(self) -> None: ...


R = TypeVar("R", bound=Result)


class Dependency(NamedTuple):
    """How one input enters an op's cache key.

    `selector` distinguishes uses of the same input (a mount's sub-path). `content`, when the op
    has one, computes the digest of just what the op reads of that input's result; the key made
    from it survives a rebuild of the input to the same content.
    """

    selector: str = ""
    content: Callable[[Result], Digest] | None = None


class CacheMap(NamedTuple):
    """How an op is keyed: its own part, and one dependency per input.

    `ephemeral` when the digest means nothing to another build. `aliases` are further digests that
    an op without inputs is known by, in caches of machines that knew it otherwise. `unexported`
    tells results apart in this store, although BuildKit's cache format has no place for it.
    """

    digest: Digest
    dependencies: tuple[Dependency, ...] = ()
    ephemeral: bool = False
    aliases: tuple[Digest, ...] = ()
    unexported: str = ""


class OpContext(Protocol):
    """What an op may use while it is keyed or runs."""

    @property
    def cancel(self) -> Cancellation: ...

    @property
    def digest(self) -> Digest:
        """The vertex that events belong to."""

    @property
    def has_users(self) -> bool:
        """Whether other ops of the graph work on the results."""
        ...

    def emit(self, event: Event) -> None: ...

    def revise(self, index: int, content: Digest | None) -> None:
        """Tell that an input was read as something else than `Dependency.content` found.

        `content` is the digest of what was read, None if it is not known. The results are then
        remembered under the key that belongs to it, or (None) not at all.
        """
        ...


class Op(Protocol[R]):
    """One operation of a definition, made executable."""

    def cache_map(self, context: OpContext) -> CacheMap: ...

    def execute(self, context: OpContext, inputs: Sequence[R]) -> Sequence[R]:
        """Run, borrowing `inputs`; the caller owns what is returned, one result an output."""
        ...


class VertexSpec(NamedTuple):
    """A vertex as data. `inputs` are (index into the graph's vertices, output).

    `extra` is for whoever makes the op, without being part of its identity.
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
    """Vertices, inputs before users, and the edge that is wanted: (vertex index, output)."""

    vertices: tuple[VertexSpec, ...]
    target: tuple[int, int]


class ResultStore(Protocol[R]):
    """Remembers results by cache key, beyond this process."""

    def note(self, key: CacheKey) -> None:
        """Learn the structure of a key that other keys are about to be made of."""
        ...

    def canonical(self, key: CacheKey) -> CacheKey:
        """The key that a result first found under `key` is chained on: its content-based one."""
        ...

    def load(self, key: CacheKey, output: int) -> R | None:
        """The caller owns what is returned. None if there is none, or it is gone."""
        ...

    def has(self, key: CacheKey, output: int) -> bool: ...

    def knows(self, key: CacheKey, output: int) -> bool:
        """Whether something was made under the key, or from that, even if it is gone by now."""
        ...

    def save(self, keys: Sequence[CacheKey], results: Sequence[R]) -> None:
        """Remember `results` (by output) under the first of `keys`, the others leading to it."""
        ...

    def hold(self, result: R) -> bool:
        """Keep a result for all builds that run now; whether it is still there to be kept."""
        ...

    def link(self, keys: Sequence[CacheKey]) -> None:
        """Remember that the first key, which has results, is what the others lead to."""
        ...
