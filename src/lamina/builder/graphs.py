"""Builds of states: frontends that run in the caller's process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, NotFound
from lamina.base.platform import host_platform, parse_platform
from lamina.client.contract import ContextSpec, NamedContext
from lamina.client.frontend_attributes import FRONTEND
from lamina.dockerfile.input_metadata import write_input_metadata
from lamina.states.node import Evaluation, nodes_below
from lamina.states.result import result_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lamina.api.gateway import Result
    from lamina.base.platform import Platform
    from lamina.client.contract import BuildRequest, ClientFrontend
    from lamina.gateway.client import GatewayClient
    from lamina.states.state import State


def context_of(states: Iterable[State], owner: object) -> ContextSpec:
    """A context that provides the directories that states read.

    Raises InvalidInput for states that belong to another builder than `owner`, NotFound.
    """
    return ContextSpec("", dockerfile_data=b"", named=directories_of(states, owner))


def directories_of(states: Iterable[State], owner: object) -> tuple[NamedContext, ...]:
    """The directories that states read. Raises as `context_of`."""
    found: dict[str, NamedContext] = {}
    for node in nodes_below(state.node for state in states):
        if node.owner is not None and node.owner is not owner:
            error = InvalidInput(
                "the state belongs to another builder",
                hint="build it with the builder that made it, or push the image and use its name",
            )
            raise error if node.caller is None else error.at(node.caller.location())
        if node.directory is not None:
            name, path, kind = node.directory
            if kind == "local" and not os.path.isdir(path):
                missing = NotFound(f"{path} is not a directory")
                raise missing if node.caller is None else missing.at(node.caller.location())
            found[name] = NamedContext(name, kind, path)
    return tuple(found.values())


def frontend_of_state(state: State, request: BuildRequest) -> ClientFrontend:
    """A frontend whose result is a state."""
    platforms = _platforms(request)

    def run(gateway: GatewayClient, attributes: Mapping[str, str]) -> Result:
        states = dict.fromkeys(platforms, state)
        return result_of(states, gateway, attributes, several=len(platforms) > 1)

    return run


def frontend_of_dockerfile(contexts: Mapping[str, State], request: BuildRequest) -> ClientFrontend:
    """The Dockerfile frontend, with states as named contexts."""
    platforms = _platforms(request)

    def run(gateway: GatewayClient, attributes: Mapping[str, str]) -> Result:
        sent = dict(attributes) | {"frontend.caps": "moby.buildkit.frontend.contexts+forward"}
        inputs = {}
        for platform in platforms:
            evaluation = Evaluation(gateway, platform, attributes)
            suffix = f"::{platform}" if len(platforms) > 1 else ""
            for name, state in contexts.items():
                key = name + suffix
                inputs[key] = evaluation.definition(state.node)
                sent[f"context:{key}"] = f"input:{key}"
                config = evaluation.value(state.node).config
                sent[f"input-metadata:{key}"] = write_input_metadata(config.to_bytes())
        return gateway.run_frontend(FRONTEND, sent, inputs)

    return run


def _platforms(request: BuildRequest) -> Sequence[Platform]:
    wanted = request.frontend.platforms
    return tuple(map(parse_platform, wanted)) if wanted else (host_platform(),)
