"""Types as bake files write them: `string`, `list(number)`, `object({name = optional(bool)})`.

https://github.com/hashicorp/hcl/tree/main/ext/typeexpr
"""

from __future__ import annotations

from lamina.bake.hcl.syntax import (
    Call,
    Expression,
    Literal,
    ObjectOf,
    Parenthesized,
    TupleOf,
    failure,
    keyword,
)
from lamina.bake.values.value import BOOL, DYNAMIC, NUMBER, STRING, Type, object_of

_NAMED = {"any": DYNAMIC, "bool": BOOL, "number": NUMBER, "string": STRING}
_HINT = "types: string, number, bool, any, list(…), set(…), map(…), tuple([…]), object({…})"


def type_constraint(expression: Expression) -> Type:
    """The type that an expression names. Raises InvalidInput."""
    if isinstance(expression, Parenthesized):
        return type_constraint(expression.inner)
    if (known := _NAMED.get(keyword(expression))) is not None:
        return known
    if not isinstance(expression, Call) or len(expression.arguments) != 1:
        raise failure("this is no type", expression.span, hint=_HINT)
    (argument,) = expression.arguments
    match expression.name, argument:
        case "list" | "set" | "map", _:
            return Type(expression.name, type_constraint(argument))
        case "tuple", TupleOf(_, elements):
            return Type("tuple", items=tuple(map(type_constraint, elements)))
        case "object", ObjectOf():
            return _object(argument)
    raise failure("this is no type", expression.span, hint=_HINT)


def _object(expression: ObjectOf) -> Type:
    attributes: dict[str, Type] = {}
    optional = []
    for key, kind in expression.items:
        if not isinstance(key, Literal) or key.value.type != STRING:
            raise failure("an attribute of a type is a name", key.span)
        name = key.value.text
        if name in attributes:
            raise failure(f'the attribute "{name}" occurs twice', key.span)
        if isinstance(kind, Call) and kind.name == "optional" and len(kind.arguments) == 1:
            optional.append(name)
            (kind,) = kind.arguments
        attributes[name] = type_constraint(kind)
    return object_of(attributes, tuple(optional))
