"""The answer to a subrequest about a Dockerfile, from the metadata of a frontend's result."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import TYPE_CHECKING, Any

from lamina.base.location import Location
from lamina.client.contract import CallAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping


def answer_of(question: str, metadata: Mapping[str, bytes]) -> CallAnswer:
    """The frontend's answer."""
    document = metadata.get("result.json", b"").decode("utf-8", "replace")
    people = metadata.get("result.txt")
    text = None if people is None else people.decode("utf-8", "surrogateescape")
    status = metadata.get("result.statuscode", b"0")
    error = ""
    if question == "frontend.lint" and document:
        error = _build_error(json.loads(document))
    return CallAnswer(document, text, int(status) if status.isdigit() else 1, error)


def _build_error(document: dict[str, Any]) -> str:
    """The error of the conversion, with its excerpt; "" if there is none."""
    found = document.get("buildError") or {}
    message = str(found.get("message") or "")
    place = found.get("location") or {}
    lines = [
        int(end.get("line") or 0)
        for item in place.get("ranges") or ()
        for end in (item.get("start") or {}, item.get("end") or {})
    ]
    if not message or not lines:
        return message
    source = (document.get("sources") or [{}])[int(place.get("sourceIndex") or 0)]
    data = b64decode(source.get("data") or "").decode("utf-8", "replace")
    location = Location(str(source.get("filename") or ""), min(lines), max(lines), data)
    return f"{message}\n{location.excerpt()}"
