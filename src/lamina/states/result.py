"""States as the result of a frontend."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lamina.api.gateway import Ref, RefMap, Result
from lamina.base.oci import IMAGE_CONFIG_KEY, platform_to_json
from lamina.states.node import Evaluation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.base.platform import Platform
    from lamina.gateway.client import GatewayClient
    from lamina.states.state import State

_PLATFORMS = "refs.platforms"


def result_of(
    states: Mapping[Platform, State],
    gateway: GatewayClient,
    attributes: Mapping[str, str],
    *,
    several: bool,
) -> Result:
    """The result of a frontend that is one state for each platform.

    Args:
        several: whether the result belongs in an index.
    """
    refs: list[tuple[str, Ref]] = []
    metadata: dict[str, bytes] = {}
    listed = []
    for platform, state in states.items():
        evaluation = Evaluation(gateway, platform, attributes)
        value = evaluation.value(state.node)
        key = str(platform)
        definition = evaluation.definition(state.node)
        refs.append((key, gateway.solve(definition) if definition.ops else Ref()))
        suffix = f"/{key}" if several else ""
        metadata[IMAGE_CONFIG_KEY + suffix] = value.config.to_bytes()
        listed.append({"ID": key, "Platform": platform_to_json(platform)})
    metadata[_PLATFORMS] = json.dumps({"Platforms": listed}).encode()
    pairs = tuple(sorted(metadata.items()))
    if several:
        return Result(refs=RefMap(tuple(refs)), metadata=pairs)
    return Result(ref=refs[0][1], metadata=pairs)
