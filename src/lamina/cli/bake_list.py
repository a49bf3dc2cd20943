"""`lamina bake --list`: targets, groups and variables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.bake.options.fields import fields
from lamina.base.errors import InvalidInput
from lamina.base.gojson import encode_indented
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamina.bake.definition import Definition

_HINT = "--list=targets, --list=variables or --list=type=targets,format=json"


class ListRequest(NamedTuple):
    """`what` is targets or variables, `format` table or json."""

    what: str
    format: str = "table"


def parse_list(text: str) -> ListRequest:
    """Raises InvalidInput."""
    given = {"type": text, "format": "table"}
    if "=" in text:
        given["type"] = ""
        for field in fields(text):
            key, equals, value = field.partition("=")
            key = key.strip().lower() if equals else "type"
            if key not in given:
                raise InvalidInput(f'invalid --list "{text}": unknown key "{key}"', hint=_HINT)
            given[key] = value if equals else field
    if given["type"] not in ("targets", "variables") or given["format"] not in ("table", "json"):
        raise InvalidInput(f'invalid --list "{text}"', hint=_HINT)
    return ListRequest(given["type"], given["format"])


def listing(definition: Definition, request: ListRequest) -> str:
    """The text to print."""
    rows = _targets if request.what == "targets" else _variables
    documents = list(rows(definition))
    if request.format == "json":
        shown = [{k: v for k, v in d.items() if _is_shown(k, v)} for d in documents]
        is_list = shown or (request.what == "variables" and definition.variables is not None)
        return encode_indented(shown if is_list else None).decode()
    if request.what == "targets":
        cells = [(str(d["name"]), str(d["description"])) for d in documents]
        return _tabbed(("TARGET", "DESCRIPTION"), cells)
    header = ("VARIABLE", "TYPE", "VALUE", "DESCRIPTION")
    return _tabbed(
        header,
        [
            (
                str(d["name"]),
                str(d["type"]),
                "<null>" if d["value"] is None else str(d["value"]),
                str(d["description"]),
            )
            for d in documents
        ],
    )


_TAB = 8


def _tabbed(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns that tabs separate, as Go's `tabwriter` writes them for buildx."""
    lines = [header, *rows]
    widths = [(max(map(len, column)) // _TAB + 1) * _TAB for column in zip(*lines, strict=True)]
    shown = []
    for line in lines:
        cells = zip(line[:-1], widths, strict=False)
        padded = (cell + "\t" * -(-(width - len(cell)) // _TAB) for cell, width in cells)
        shown.append("".join([*padded, line[-1]]))
    return "\n".join(shown)


def _is_shown(name: str, value: object) -> bool:
    return value is not None and (name == "value" or value not in ("", False))


def _targets(definition: Definition) -> Iterator[dict[str, object]]:
    """By name; names that start with an underscore are private."""
    found: list[dict[str, object]] = [
        {"name": target.name, "description": target.description, "group": False}
        for target in definition.targets
    ]
    for group in definition.groups:
        members = ", ".join(sorted(group.targets or ()))
        text = f"{group.description} ({members})" if group.description and members else members
        described = text or group.description
        found.append({"name": group.name, "description": described, "group": True})
    for document in sorted(found, key=lambda each: str(each["name"])):
        if not str(document["name"]).startswith("_"):
            yield document


def _variables(definition: Definition) -> Iterator[dict[str, object]]:
    for variable in sorted(definition.variables or (), key=lambda each: each.name):
        yield {
            "name": variable.name,
            "description": variable.description,
            "type": variable.type,
            "value": variable.value,
        }
