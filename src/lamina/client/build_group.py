"""Builds that run at the same time, some of which have results of others as contexts.

Each build gets a `GroupMember`. It waits for the frontend results that it needs: the definition of
another build becomes an input of its own frontend, so the steps that both need run once, and
nothing is exported in between.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from lamina.base.errors import Cancelled, LaminaError
from lamina.base.named_tuple import NamedTuple
from lamina.client.contract import SessionProviders
from lamina.dockerfile.input_metadata import write_input_metadata
from lamina.llb.op import Definition
from lamina.system.cancel import Cancellation, wait_any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lamina.client.contract import BuildOutcome, BuildRequest

TARGET = "target"
"""The kind of a named context whose value is the name of another build in the group."""


class LinkedPart(NamedTuple):
    """The result of a frontend for one platform. `key` is the platform, `config` the image
    configuration. `definition` None is an empty file system."""

    key: str
    definition: Definition | None
    config: bytes


class LinkedResult(NamedTuple):
    """The result of a frontend, as an input of another one. `several`: for several platforms."""

    parts: tuple[LinkedPart, ...]
    several: bool


class GroupMember:
    """One build of a group. `session` is the ID of its session.

    Args:
        sessions: the sessions that provide its directories, by their names, if they are known.
    """

    def __init__(
        self,
        name: str,
        request: BuildRequest,
        sessions: Mapping[str, str],
        session: str,
        cancel: Cancellation,
    ) -> None:
        self.name = name
        self.session = session
        self.request = request
        self.cancel = Cancellation(cancel)
        self.needed: list[GroupMember] = []
        self.dependents: list[GroupMember] = []
        self._sessions = sessions
        self._result: LinkedResult | None = None
        self._published = Cancellation()
        self._ended = Cancellation()

    def inputs(self, attributes: Mapping[str, str]) -> tuple[dict[str, str], dict[str, Definition]]:
        """Wait for the results of other builds. Returns the frontend attributes, and its inputs.

        Raises Cancelled if another build failed.
        """
        changed = dict(attributes)
        changed |= {f"local-sessionid:{name}": session for name, session in self._sessions.items()}
        inputs: dict[str, Definition] = {}
        by_name = {member.name: member for member in self.needed}
        for context in self.request.context.named:
            if context.kind == TARGET:
                del changed[f"context:{context.name}"]
                result = by_name[context.value].result(self.cancel)
                _add_input(context.name, context.value, result, changed, inputs)
        return changed, inputs

    def publish(self, result: LinkedResult) -> None:
        """Let others use the frontend's result."""
        self._result = result
        self._published.cancel()

    def result(self, cancel: Cancellation) -> LinkedResult:
        """Wait for the frontend's result. Raises Cancelled if there will be none."""
        wait_any(self._published, self._ended, cancel)
        cancel.check()
        if self._result is None:
            raise Cancelled(f'target "{self.name}" failed')
        return self._result

    def hold(self) -> None:
        """Wait until no other build needs this one. Raises Cancelled."""
        for dependent in self.dependents:
            wait_any(dependent._ended, self.cancel)
            self.cancel.check()

    def end(self) -> None:
        self._ended.cancel()


def _add_input(
    context: str,
    name: str,
    result: LinkedResult,
    attributes: dict[str, str],
    inputs: dict[str, Definition],
) -> None:
    """Make a result the input of a context; one for each platform if there are several."""
    for part in result.parts:
        suffix = f"::{part.key}" if result.several else ""
        inputs[name + suffix] = part.definition or Definition()
        attributes[f"context:{context}{suffix}"] = f"input:{name}{suffix}"
        if part.config:
            attributes[f"input-metadata:{name}{suffix}"] = write_input_metadata(part.config)


def make_group(
    requests: Mapping[str, BuildRequest], cancel: Cancellation
) -> dict[str, GroupMember]:
    """The members of a group, by name, connected with each other.

    Sessions that exist for the whole group provide each directory once.
    """
    owners: dict[tuple[str, str], str] = {}

    def shared(name: str, session: str) -> dict[str, str]:
        found = {}
        for directory in _directories(requests[name]):
            owner = owners.setdefault(directory, session)
            if owner != session:
                found[directory[0]] = owner
        return found

    return _connected(requests, shared, cancel)


def make_group_of_sessions(
    requests: Mapping[str, BuildRequest], cancel: Cancellation
) -> dict[str, GroupMember]:
    """As `make_group`, for sessions that exist as long as their build.

    The steps of a build that others need read its directories in its session.
    """
    needed = {
        context.value
        for request in requests.values()
        for context in request.context.named
        if context.kind == TARGET
    }

    def own(name: str, session: str) -> dict[str, str]:
        directories = _directories(requests[name]) if name in needed else ()
        return {directory: session for directory, _ in directories}

    return _connected(requests, own, cancel)


def _connected(
    requests: Mapping[str, BuildRequest],
    sessions_of: Callable[[str, str], Mapping[str, str]],
    cancel: Cancellation,
) -> dict[str, GroupMember]:
    members: dict[str, GroupMember] = {}
    for name, request in requests.items():
        session = os.urandom(12).hex()
        given = request._replace(providers=_all_providers(name, requests))
        members[name] = GroupMember(name, given, sessions_of(name, session), session, cancel)
    for member in members.values():
        for context in member.request.context.named:
            if context.kind == TARGET:
                member.needed.append(members[context.value])
                members[context.value].dependents.append(member)
    return members


def _directories(request: BuildRequest) -> list[tuple[str, str]]:
    """Names and paths of the directories that the steps of a request read."""
    found = [("context", request.context.path)] if request.context.path else []
    return found + [(c.folder_name, c.value) for c in request.context.named if c.kind == "local"]


def _all_providers(name: str, requests: Mapping[str, BuildRequest]) -> SessionProviders:
    """The secrets and agents of a build and of those it needs, whose steps it may run."""
    request = requests[name]
    secrets = {secret.id: secret for secret in request.providers.secrets}
    agents = {agent.id: agent for agent in request.providers.ssh}
    for context in request.context.named:
        if context.kind == TARGET:
            inner = _all_providers(context.value, requests)
            secrets = {**{secret.id: secret for secret in inner.secrets}, **secrets}
            agents = {**{agent.id: agent for agent in inner.ssh}, **agents}
    return SessionProviders(tuple(secrets.values()), tuple(agents.values()))


def run_group(
    members: Mapping[str, GroupMember], build: Callable[[GroupMember], BuildOutcome]
) -> dict[str, BuildOutcome]:
    """Run a build for each member. The first one that fails stops the others.

    Raises the error of the first one that failed.
    """
    outcomes: dict[str, BuildOutcome] = {}
    failures: list[tuple[str, BaseException]] = []
    lock = threading.Lock()

    def run(member: GroupMember) -> None:
        try:
            outcomes[member.name] = build(member)
        except BaseException as error:
            with lock:
                failures.append((member.name, error))
            for other in members.values():
                other.cancel.cancel("another target failed")
        finally:
            member.end()

    threads = [
        threading.Thread(target=run, args=(member,), name=f"target {name}")
        for name, member in members.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        own = [failed for failed in failures if not isinstance(failed[1], Cancelled)]
        name, error = (own or failures)[0]
        if isinstance(error, LaminaError) and own and len(members) > 1:
            raise error.with_context(reason=f"target {name}: {error.reason}") from error
        raise error
    return {name: outcomes[name] for name in members}
