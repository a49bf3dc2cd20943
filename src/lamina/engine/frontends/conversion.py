"""A Dockerfile's definitions and configurations, as the result of a build."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.dockerfile.build import build as convert
from lamina.engine.build_result import BuildResult, PlatformResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.dockerfile.contract import Bridge, FrontendRequest
    from lamina.engine.frontends.contract import FrontendBuild


def converted(
    build: FrontendBuild, requests: Sequence[FrontendRequest], bridge: Bridge
) -> BuildResult:
    """Convert the Dockerfile for each of the platforms that the requests name."""
    parts = [
        PlatformResult(
            converted.platform,
            build.solvable(converted.definition),
            converted.config,
            converted.base_config,
            epoch=converted.epoch,
        )
        for converted in convert(requests, bridge)
    ]
    return BuildResult(tuple(parts), len(parts) > 1)
