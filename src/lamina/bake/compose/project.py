"""Reads Compose files: every service with a build section is a target.

https://docs.docker.com/build/bake/compose-file/
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from lamina.bake.compose.dotenv import parse_environment
from lamina.bake.compose.interpolate import interpolated
from lamina.bake.compose.merge import as_list, merged, scalar_text
from lamina.bake.compose.service import service_target
from lamina.bake.compose.yaml_file import parse_compose
from lamina.bake.definition import Definition, check_name, environment_allowed
from lamina.bake.hcl.syntax import Source
from lamina.bake.target import Group
from lamina.base.errors import InvalidInput, NotFound, Unsupported, from_os_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_DEEPEST = 20


def is_compose(source: Source, variables: Mapping[str, str]) -> bool:
    """Whether a file of any name is a Compose file."""
    try:
        document = parse_compose(source)
        if not isinstance(document.get("services"), dict):
            return False
        read_compose([source], variables)
    except InvalidInput:
        return False
    return True


def read_compose(sources: Sequence[Source], variables: Mapping[str, str]) -> Definition:
    """Read files, later ones over earlier ones. Raises InvalidInput, NotFound, Unsupported."""
    environ = _environment(variables)
    project: dict[str, Any] = {}
    documents = [(source, parse_compose(source)) for source in sources]
    names = [str(d["name"]) for _, d in documents if isinstance(d.get("name"), str)]
    environ.setdefault("COMPOSE_PROJECT_NAME", names[-1] if names else "bake")
    for source, document in documents:
        document = interpolated(document, environ)
        if "include" in document:
            raise Unsupported(f"{source.name}: include is not supported", hint="name files with -f")
        project = merged(project, _with_extended(document, source.name, environ))
    services = project.get("services") or {}
    secrets = project.get("secrets") or {}
    if not isinstance(services, dict) or not isinstance(secrets, dict):
        raise InvalidInput("services and secrets of a Compose file are mappings")
    if not services and not secrets:
        raise InvalidInput("the Compose file defines no services")
    targets = []
    for name, service in services.items():
        if not isinstance(service, dict | None):
            raise InvalidInput(f"services.{name} is a mapping")
        service = service or {}
        if service.get("build") is None and not service.get("image"):
            raise InvalidInput(f"services.{name} has neither an image nor a build section")
        if service.get("build") is not None:
            target = service_target(str(name), service, secrets, _look_up(service, environ))
            try:
                check_name(target.name)
            except ValueError as error:
                raise InvalidInput(f"services.{name}: {error}") from None
            targets.append(target)
    group = Group("default", tuple(target.name for target in targets) or None)
    return Definition(tuple(targets), (group,) if services else ())


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment, `.env` of the working directory below it, `--var` above it."""
    environ = environment_allowed(os.environ)
    found = {**_file_variables(".env", environ, missing_is_error=False), **environ}
    return {**found, **variables}


def _file_variables(
    path: str, environ: Mapping[str, str], *, missing_is_error: bool = True
) -> dict[str, str]:
    try:
        with open(path, encoding="utf-8") as file:
            return parse_environment(file.read(), environ)
    except (FileNotFoundError, IsADirectoryError) as error:
        if missing_is_error:
            raise NotFound(f"env_file {path}: no such file") from error
        return {}
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is not UTF-8") from None
    except OSError as error:
        raise from_os_error(error, "read environment file") from error


def _look_up(service: Mapping[str, Any], environ: Mapping[str, str]) -> Callable[[str], str | None]:
    """What arguments without a value get: variables of the service, then of the environment."""
    own: dict[str, str] = {}
    for item in as_list(service.get("env_file")):
        required = not isinstance(item, dict) or item.get("required", True) is not False
        path = str(item.get("path", "")) if isinstance(item, dict) else scalar_text(item)
        own |= _file_variables(path, {**environ, **own}, missing_is_error=required)
    for item in as_list(service.get("environment")):
        name, equals, value = scalar_text(item).partition("=")
        if equals:
            own[name] = value
    return lambda name: own.get(name, environ.get(name))


def _with_extended(
    document: dict[str, Any], name: str, environ: Mapping[str, str], depth: int = 0
) -> dict[str, Any]:
    """The document with services merged over those that they extend. Raises InvalidInput."""
    services = document.get("services")
    if not isinstance(services, dict):
        return document
    return {
        **document,
        "services": {key: _extended(document, key, name, environ, depth) for key in services},
    }


def _extended(
    document: dict[str, Any], name: str, file: str, environ: Mapping[str, str], depth: int
) -> Any:
    service = document["services"].get(name)
    if not isinstance(service, dict) or not service.get("extends"):
        return service
    if depth > _DEEPEST:
        raise InvalidInput(f"services.{name} extends itself")
    extends = service["extends"]
    if isinstance(extends, str):
        extends = {"service": extends}
    if not isinstance(extends, dict):
        raise InvalidInput(f"services.{name}.extends is a string or a mapping")
    other = document
    if path := extends.get("file"):
        path = os.path.join(os.path.dirname(file), str(path))
        try:
            with open(path, encoding="utf-8") as opened:
                other = interpolated(parse_compose(Source(path, opened.read())), environ)
        except UnicodeDecodeError:
            raise InvalidInput(f"{path} is not UTF-8") from None
        except OSError as error:
            raise from_os_error(error, f"read the file that services.{name} extends") from error
    wanted = str(extends.get("service"))
    services = other.get("services")
    if not isinstance(services, dict) or wanted not in services:
        raise NotFound(f'services.{name} extends "{wanted}", which does not exist')
    base = _extended(other, wanted, str(path or file), environ, depth + 1)
    rest = {key: value for key, value in service.items() if key != "extends"}
    return merged(base or {}, rest, ("services", name))
