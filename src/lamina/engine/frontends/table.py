"""Frontends by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.attest.contract import FrontendCall
from lamina.base.errors import InvalidInput, LaminaError
from lamina.wire.contract import StatusError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.engine.build_result import BuildResult
    from lamina.engine.frontends.contract import Frontend, FrontendBuild
    from lamina.llb.op import Definition

DOCKERFILE = "dockerfile.v0"
GATEWAY = "gateway.v0"
PYTHON = "python.v0"


class Frontends:
    """Runs frontends by name. The engine has one table for all builds."""

    def __init__(self, frontends: Mapping[str, Frontend]) -> None:
        self._frontends = frontends

    def run(
        self,
        build: FrontendBuild,
        name: str,
        attrs: Mapping[str, str],
        inputs: Mapping[str, Definition],
        parent: FrontendCall | None = None,
    ) -> BuildResult:
        """Run a frontend: convert attributes and inputs to a result. Raises the frontend's error.

        Args:
            parent: the call of the frontend that requests this one.
        """
        if name == GATEWAY and attrs.get("source") == DOCKERFILE and not _replaced(attrs):
            name, attrs = DOCKERFILE, {key: attrs[key] for key in attrs if key != "source"}
        root = parent.first if parent is not None else None
        call = FrontendCall(name, attrs, build.origins_of(inputs), root)
        try:
            result = self._find(name)(build, call, inputs)
        except LaminaError as error:
            frontends = (*error.frontends, (name, attrs.get("source", "")))
            raise error.with_context(frontends=frontends) from error
        except StatusError as error:  # from a frontend that runs in a client
            from lamina.api.errors import Frontend, detail_of

            frontend = detail_of(Frontend(name, attrs.get("source", "")))
            raise StatusError(error.code, error.message, (*error.details, frontend)) from error
        for part in result.parts:
            if part.files.call is None:
                part.files.call = call
            build.note_origin(part.files.definition, part.files.call)
        return result

    def _find(self, name: str) -> Frontend:
        if name not in self._frontends:
            known = " and ".join(self._frontends)
            raise InvalidInput(f"invalid frontend: {name}", hint=f"there are {known}")
        return self._frontends[name]


def builtin_frontends() -> Frontends:
    """lamina's own frontends. Each is imported when it is first used."""
    return Frontends({DOCKERFILE: _dockerfile, GATEWAY: _gateway, PYTHON: _python})


def _dockerfile(
    build: FrontendBuild, call: FrontendCall, inputs: Mapping[str, Definition]
) -> BuildResult:
    from lamina.engine.frontends.dockerfile import run_dockerfile

    return run_dockerfile(build, call, inputs)


def _gateway(
    build: FrontendBuild, call: FrontendCall, inputs: Mapping[str, Definition]
) -> BuildResult:
    from lamina.engine.frontends.gateway import run_gateway

    return run_gateway(build, call, inputs)


def _python(
    build: FrontendBuild, call: FrontendCall, inputs: Mapping[str, Definition]
) -> BuildResult:
    from lamina.engine.frontends.python import run_python

    return run_python(build, call, inputs)


def _replaced(attrs: Mapping[str, str]) -> bool:
    """Whether a named context replaces the Dockerfile frontend."""
    name = f"context:{DOCKERFILE}"
    return any(key == name or key.startswith(f"{name}::") for key in attrs)
