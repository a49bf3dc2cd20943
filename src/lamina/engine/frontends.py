"""Frontends by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.engine.result import FrontendCall

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
    call = FrontendCall(name, attrs)
    result = _run(build, name, attrs, inputs)
    set_root(result, call)
    for part in result.parts:
        part.files.call = part.files.call or call
    return result


def set_root(result: BuildResult, call: FrontendCall) -> None:
    """Remember what led to the frontends' calls that a result came of."""
    for part in result.parts:
        inner = part.files.call
        if inner is not None and inner.root is None and inner != call:
            part.files.call = inner._replace(root=call)


def _run(
    build: Build, name: str, attrs: Mapping[str, str], inputs: Mapping[str, Definition]
) -> BuildResult:
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
