"""Frontends by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.engine.build import Build
    from lamina.engine.result import BuildResult
    from lamina.llb.op import Definition

DOCKERFILE = "dockerfile.v0"
GATEWAY = "gateway.v0"


def run_frontend(
    build: Build, name: str, attrs: Mapping[str, str], inputs: Mapping[str, Definition]
) -> BuildResult:
    """Have a frontend turn attributes and inputs into a result. Raises what stopped it."""
    if name == GATEWAY and attrs.get("source") == DOCKERFILE:
        name, attrs = DOCKERFILE, {key: attrs[key] for key in attrs if key != "source"}
    match name:
        case "dockerfile.v0":
            from lamina.engine.dockerfile_frontend import run_dockerfile

            return run_dockerfile(build, attrs, inputs)
        case "gateway.v0":
            from lamina.engine.gateway_frontend import run_gateway

            return run_gateway(build, attrs, inputs)
    raise InvalidInput(f"invalid frontend: {name}", hint=f"there are {DOCKERFILE} and {GATEWAY}")
