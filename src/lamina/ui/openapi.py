"""The OpenAPI document of the API, from the types of `lamina.ui.documents` (OpenAPI 3.1.0)."""

from __future__ import annotations

import inspect
import re
import types
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints
from typing import is_typeddict as is_document

from lamina import __version__
from lamina.ui import documents

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lamina.ui.routes import Route

_SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
Schema = dict[str, Any]


def openapi_document(routes: Iterable[Route]) -> Schema:
    """The document of all routes, and of the streams that `lamina.ui.application` adds."""
    schemas: dict[str, Schema] = {}
    paths: dict[str, Schema] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    for path, text in _STREAMS.items():
        paths[path] = {"get": _stream(path, text)}
    problem = _schema(documents.Problem, schemas)
    for operations in paths.values():
        for operation in operations.values():
            operation["responses"]["default"] = {
                "description": "The request failed",
                "content": {"application/json": {"schema": problem}},
            }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "lamina UI",
            "version": __version__,
            "description": "Times are seconds since the epoch, durations are seconds, sizes are"
            " bytes.",
        },
        "paths": paths,
        "components": {"schemas": dict(sorted(schemas.items()))},
    }


_STREAMS = {
    "/api/events": "Send an event `builds` whenever a build starts or ends",
    "/api/builds/{ref}/events": "Send an event `build` whenever a running build changes, and an"
    " event `complete` at its end",
    "/api/builds/{ref}/log/text": "Show the whole log of a step as a text",
}


def _operation(route: Route, schemas: dict[str, Schema]) -> Schema:
    parameters = _path_parameters(route.path)
    parameters += (
        {
            "name": parameter.name,
            "in": "query",
            "description": parameter.text,
            "schema": {"type": parameter.type},
        }
        for parameter in route.parameters
    )
    summary = route.summary + (" (only with `--allow-changes`)" if route.changes else "")
    return {
        "summary": summary,
        **({"parameters": parameters} if parameters else {}),
        "responses": {
            "200": {
                "description": "The document",
                "content": {"application/json": {"schema": _schema(route.answer, schemas)}},
            }
        },
    }


def _stream(path: str, text: str) -> Schema:
    parameters = _path_parameters(path)
    if path.endswith("/text"):
        parameters.append({"name": "step", "in": "query", "schema": {"type": "string"}})
    kind = "text/plain" if path.endswith("/text") else "text/event-stream"
    return {
        "summary": text,
        **({"parameters": parameters} if parameters else {}),
        "responses": {
            "200": {"description": "A stream", "content": {kind: {"schema": {"type": "string"}}}}
        },
    }


def _path_parameters(path: str) -> list[Schema]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", path)
    ]


def _schema(kind: Any, schemas: dict[str, Schema]) -> Schema:
    """The schema of a type. Documents become named schemas."""
    if is_document(kind):
        name = kind.__name__
        if name not in schemas:
            schemas[name] = {}  # for documents that contain themselves
            hints = get_type_hints(kind)
            schemas[name] = {
                "type": "object",
                "description": inspect.cleandoc(kind.__doc__ or ""),
                "properties": {field: _schema(hint, schemas) for field, hint in hints.items()},
                "required": list(hints),
                "additionalProperties": False,
            }
        return {"$ref": f"#/components/schemas/{name}"}
    if kind is Any:
        return {}
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is list:
        return {"type": "array", "items": _schema(arguments[0], schemas)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(arguments[1], schemas)}
    if origin is Literal:
        return {"type": "string", "enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(argument, schemas) for argument in arguments]}
    return {"type": _SIMPLE[kind]}


if __name__ == "__main__":
    import json

    from lamina.ui.routes import ROUTES

    print(json.dumps(openapi_document(ROUTES), indent=2))
