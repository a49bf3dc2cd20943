"""Functions that encode and decode: Base64, JSON, CSV, URLs, and identifiers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.bake.functions.define import fixed, nullable, text
from lamina.bake.values.json_values import from_json, to_json
from lamina.bake.values.value import STRING, Value, list_value, object_of, object_value, string

if TYPE_CHECKING:
    from uuid import UUID


def _base64_encode(value: Value) -> Value:
    from base64 import b64encode

    return string(b64encode(value.text.encode()).decode())


def _base64_decode(value: Value) -> Value:
    from base64 import b64decode

    try:
        return string(b64decode(value.text.replace("\n", ""), validate=True).decode())
    except UnicodeDecodeError:
        raise ValueError("the decoded bytes are not UTF-8") from None
    except ValueError:
        raise ValueError("the string is not Base64") from None


def _json_decode(value: Value) -> Value:
    try:
        return from_json(value.text)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def _csv_decode(value: Value) -> Value:
    import csv
    import io

    try:
        rows = [row for row in csv.reader(io.StringIO(value.text), strict=True) if row]
    except csv.Error as error:
        raise ValueError(f"the string is not CSV: {error}") from None
    if not rows:
        raise ValueError("there is no line with the names of columns")
    names = rows[0]
    if len(set(names)) < len(names):
        raise ValueError("two columns have the same name")
    if any(len(row) != len(names) for row in rows):
        raise ValueError(f"a row does not have {len(names)} fields")
    kind = object_of(dict.fromkeys(names, STRING))
    found = (object_value(dict(zip(names, map(string, r), strict=True))) for r in rows[1:])
    return list_value(kind, found)


def _url_encode(value: Value) -> Value:
    from urllib.parse import quote_plus

    return string(quote_plus(value.text, safe="~"))


def _random_uuid() -> Value:
    import uuid

    return string(str(uuid.uuid4()))


def _named_uuid(namespace: Value, name: Value) -> Value:
    import uuid

    return string(str(uuid.uuid5(_namespace(namespace.text), name.text)))


def _namespace(name: str) -> UUID:
    import uuid

    known = {
        "dns": uuid.NAMESPACE_DNS,
        "url": uuid.NAMESPACE_URL,
        "oid": uuid.NAMESPACE_OID,
        "x500": uuid.NAMESPACE_X500,
    }
    try:
        return known[name] if name in known else uuid.UUID(name)
    except ValueError:
        raise ValueError(
            f'the namespace "{name}" is none of {", ".join(known)}, nor a UUID'
        ) from None


def _home() -> Value:
    return string(os.environ.get("HOME") or os.path.expanduser("~"))


FUNCTIONS = {
    "base64decode": fixed(_base64_decode, text("string")),
    "base64encode": fixed(_base64_encode, text("string")),
    "csvdecode": fixed(_csv_decode, text("string")),
    "homedir": fixed(_home),
    "jsondecode": fixed(_json_decode, text("string")),
    "jsonencode": fixed(lambda value: string(to_json(value)), nullable("value")),
    "urlencode": fixed(_url_encode, text("string")),
    "uuidv4": fixed(_random_uuid),
    "uuidv5": fixed(_named_uuid, text("namespace"), text("name")),
}
