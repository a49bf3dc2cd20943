"""Combines the sessions of all builds that wait for a vertex into one session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from lamina.base.errors import Cancelled, LaminaError
from lamina.sources.pins import SharedPins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from lamina.engine.build_result import Solvable
    from lamina.layers.compression import Compression
    from lamina.llb.op import CDIDevice, Definition
    from lamina.ops.debugging import StepDebugger
    from lamina.refs.ref import Ref
    from lamina.runtime.cdi import ContainerEdits
    from lamina.session.contract import ContentStore, FolderRequest, ProvidedFolder, Session
    from lamina.sources.pins import Pins
    from lamina.stores.cache_mounts import MountOrigin
    from lamina.system.cancel import Cancellation


S = TypeVar("S")
T = TypeVar("T")


class OpRequester(Protocol):
    """The part of a build that ops use while it waits for a vertex."""

    @property
    def session(self) -> Session: ...

    @property
    def pins(self) -> Pins: ...

    @property
    def packing(self) -> Compression | None: ...

    @property
    def debugger(self) -> StepDebugger | None: ...

    def restore(self, name: str, folder: str, cancel: Cancellation) -> MountOrigin | None:
        """Fill a new cache mount from an imported cache. Returns the mount's origin, if there is
        one."""
        ...

    def devices(self, wanted: Sequence[CDIDevice]) -> Sequence[ContainerEdits]: ...

    def named_devices(self, wanted: Sequence[CDIDevice]) -> Sequence[CDIDevice]: ...

    def solvable(self, definition: Definition) -> Solvable: ...


class SessionFinder(Protocol):
    """Finds a session by its ID. Raises NotFound, Cancelled."""

    def __call__(self, session_id: str, cancel: Cancellation, /) -> Session: ...


class SharedSession:
    """Implements `lamina.session.contract.Session` and `lamina.ops.contract.Requesters`.

    Args:
        current: returns the builds that currently wait for the vertex. Builds may join and leave
            while the op runs.
        find: finds sessions of other clients.
    """

    def __init__(
        self, current: Callable[[], Sequence[OpRequester]], find: SessionFinder | None = None
    ) -> None:
        self._current = current
        self._find = find

    @property
    def session(self) -> Session:
        return self

    @property
    def pins(self) -> Pins:
        return SharedPins(lambda: [requester.pins for requester in self._current()])

    @property
    def packing(self) -> Compression | None:
        return next((requester.packing for requester in self._current()), None)

    @property
    def debugger(self) -> StepDebugger | None:
        return next(filter(None, (requester.debugger for requester in self._current())), None)

    @property
    def in_process(self) -> bool:
        return all(session.in_process for session in self._sessions())

    @property
    def id(self) -> str:
        return next((session.id for session in self._sessions()), "")

    def folder(
        self,
        name: str,
        wanted: FolderRequest,
        cancel: Cancellation,
        progress: Callable[[int], None] | None = None,
    ) -> ProvidedFolder:
        own = not wanted.session or any(s.id == wanted.session for s in self._sessions())
        if not own and self._find is not None:
            return self._find(wanted.session, cancel).folder(name, wanted, cancel, progress)
        return self._first(lambda session: session.folder(name, wanted, cancel, progress))

    def upload(self, host: str, path: str, cancel: Cancellation) -> Iterator[bytes]:
        return self._first(lambda session: session.upload(host, path, cancel))

    def content(self, store: str) -> ContentStore:
        return self._first(lambda session: session.content(store))

    def secret(self, secret_id: str, cancel: Cancellation) -> bytes | None:
        return first_known(self._sessions(), lambda session: session.secret(secret_id, cancel))

    def ssh_socket(self, agent_id: str, cancel: Cancellation) -> str | None:
        return first_known(self._sessions(), lambda session: session.ssh_socket(agent_id, cancel))

    def restore(self, name: str, folder: str, cancel: Cancellation) -> MountOrigin | None:
        origins = (requester.restore(name, folder, cancel) for requester in self._current())
        return next(filter(None, origins), None)

    def devices(self, wanted: Sequence[CDIDevice]) -> Sequence[ContainerEdits]:
        for requester in self._current():
            return requester.devices(wanted)
        raise Cancelled("no build waits for this any more")

    def named_devices(self, wanted: Sequence[CDIDevice]) -> Sequence[CDIDevice]:
        for requester in self._current():
            return requester.named_devices(wanted)
        raise Cancelled("no build waits for this any more")

    def solve(self, definition: Definition) -> Ref:
        for requester in self._current():
            return requester.solvable(definition).ref()
        raise Cancelled("no build waits for this any more")

    def _first(self, ask: Callable[[Session], T]) -> T:
        failure: LaminaError | None = None
        for session in self._sessions():
            try:
                return ask(session)
            except LaminaError as error:
                failure = failure or error
        raise failure or Cancelled("no build waits for this any more")

    def _sessions(self) -> Iterator[Session]:
        return (requester.session for requester in self._current())


def first_known(ones: Iterable[S], ask: Callable[[S], T | None]) -> T | None:
    """The first value that a requester has. Errors of the others are ignored then.

    If there is none, raises the first error; returns None if there was no error either.
    """
    failure: LaminaError | None = None
    for one in ones:
        try:
            found = ask(one)
        except LaminaError as error:
            failure = failure or error
            continue
        if found is not None:
            return found
    if failure is not None:
        raise failure
    return None
