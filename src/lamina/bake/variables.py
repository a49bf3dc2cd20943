"""Variables of bake files: their blocks, and values from the environment and `--var`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.bake.evaluate.expression import evaluate
from lamina.bake.evaluate.scope import Scope
from lamina.bake.evaluate.types import type_constraint
from lamina.bake.hcl.syntax import Block, Expression, Literal, Span, failure
from lamina.bake.options.fields import fields
from lamina.bake.values.convert import ConversionError, convert
from lamina.bake.values.json_values import from_json_as, to_json, to_json_as
from lamina.bake.values.number import from_float
from lamina.bake.values.value import (
    BOOL,
    DYNAMIC,
    NUMBER,
    STRING,
    Type,
    Value,
    boolean,
    friendly,
    list_value,
    map_value,
    string,
    tuple_value,
)
from lamina.base.booleans import parse_bool
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

JSON_SUFFIX = "_JSON"
"""`NAME_JSON` sets a variable with a type as JSON."""


class Validation(NamedTuple):
    condition: Expression
    message: Expression


class VariableBlock(NamedTuple):
    """`variable "name" { … }`. `type` is None if none is given."""

    span: Span
    name: str
    default: Expression | None
    description: str
    type: Type | None
    validations: tuple[Validation, ...]


class Variable(NamedTuple):
    """A variable for `--list`: its type if it has one, and its value as text, None for null."""

    name: str
    description: str
    type: str
    value: str | None


def read_variable(block: Block) -> VariableBlock:
    """Raises InvalidInput."""
    settings = {setting.name: setting.expression for setting in block.body.settings}
    description = ""
    if (written := settings.get("description")) is not None:
        value = evaluate(written, Scope({}, {}))
        try:
            description = "" if value.is_null else convert(value, STRING).text
        except ConversionError as error:
            raise failure(f"the description does not fit: {error}", written.span) from None
    kind = None
    if (constraint := settings.get("type")) is not None and not _is_null(constraint):
        kind = type_constraint(constraint)
    validations = tuple(
        read_validation(inner) for inner in block.body.blocks if inner.kind == "validation"
    )
    default = settings.get("default")
    return VariableBlock(block.span, block.labels[0], default, description, kind, validations)


def _is_null(expression: Expression) -> bool:
    return isinstance(expression, Literal) and expression.value.is_null


def read_validation(block: Block) -> Validation:
    """Raises InvalidInput if a part is missing."""
    settings = {setting.name: setting.expression for setting in block.body.settings}
    for name in ("condition", "error_message"):
        if name not in settings:
            raise failure(f'a validation needs "{name}"', block.span)
    return Validation(settings["condition"], settings["error_message"])


def check(variable: VariableBlock, scope: Scope) -> None:
    """Raises InvalidInput with the variable's own message if a condition does not hold."""
    for condition, message in variable.validations:
        result = evaluate(condition, scope)
        if result.is_null:
            raise failure("a condition is true or false, not null", condition.span)
        try:
            holds = convert(result, BOOL).truth
        except ConversionError as error:
            raise failure(f"a condition is true or false: {error}", condition.span) from None
        if not holds:
            value = evaluate(message, scope)
            reason = value.data if isinstance(value.data, str) else "the check has failed"
            raise failure(f'variable "{variable.name}": {reason}', condition.span)


def with_override(
    variable: VariableBlock, default: Value | None, given: Override | None
) -> Value | None:
    """The value of a variable: the given one, or its default. Raises ValueError."""
    if given is None:
        return default
    kind = variable.type
    if kind is not None and given.json:
        try:
            return from_json_as(given.text, kind)
        except RecursionError:
            raise ValueError("the JSON is nested too deeply") from None
    if kind is None or kind == DYNAMIC:
        if default is None or default.type == DYNAMIC:
            return string(given.text)
        if default.type.is_primitive:
            return _primitive(given.text, default.type)
        raise ValueError(f"it cannot be set: its default is a {friendly(default.type)}")
    if kind.is_primitive:
        return _primitive(given.text, kind)
    if kind.kind == "object":
        raise ValueError(f"an object is set as JSON, by {variable.name}{JSON_SUFFIX}")
    return _from_csv(given.text, kind)


class Override(NamedTuple):
    """The value in the environment or `--var`; `json` if it has the variable's other name."""

    text: str
    json: bool


def find_override(
    name: str, look_up: Callable[[str], str | None], known: Callable[[str], bool], *, typed: bool
) -> Override | None:
    """The given value of a variable. If it has a type, JSON takes precedence."""
    text = look_up(name)
    if text is None or typed:
        other = f"{name}{JSON_SUFFIX}"
        if not known(other) and (json := look_up(other)) is not None:
            return Override(json, True)
    return None if text is None else Override(text, False)


def _primitive(text: str, kind: Type) -> Value:
    if kind == BOOL:
        truth = parse_bool(text)
        if truth is None:
            raise ValueError(f'"{text}" is neither true nor false')
        return boolean(truth)
    if kind == NUMBER:
        try:
            return Value(NUMBER, from_float(float(text.replace("_", "?"))))
        except (ValueError, OverflowError):
            raise ValueError(f'"{text}" is no number') from None
    return string(text)


def _from_csv(text: str, kind: Type) -> Value:
    """Lists, sets, tuples and maps (`key:value`) of primitive values."""
    inner = kind.items if kind.element is None else (kind.element,)
    if not all(each.is_primitive for each in inner):
        raise ValueError(f"a {friendly(kind)} cannot be given as comma-separated values")
    values = fields(text) if text else []
    match kind.kind:
        case "tuple":
            if len(values) != len(kind.items):
                raise ValueError(f"{len(kind.items)} values are needed, not {len(values)}")
            return tuple_value(map(_primitive, values, kind.items))
        case "map":
            members = {}
            for field in values:
                key, colon, value = field.partition(":")
                if not colon:
                    raise ValueError(f'"{field}" is no key:value')
                members[key] = _primitive(value, kind.each)
            return map_value(kind.each, members)
    return convert(list_value(kind.each, (_primitive(v, kind.each) for v in values)), kind)


def listed(variable: VariableBlock, value: Value) -> Variable:
    """The variable as `--list=variables` shows it."""
    kind = "" if variable.type is None else friendly(variable.type)
    text: str | None = None
    if value.is_null:
        pass
    elif variable.type == STRING:
        text = to_json(value).strip('"')
    elif variable.type is None and value.type.is_primitive:
        text = convert(value, STRING).text
    else:
        text = to_json(value) if variable.type is None else to_json_as(value, variable.type)
    return Variable(variable.name, variable.description, kind, text)
