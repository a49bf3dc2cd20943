"""Evaluates expressions of HCL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.bake.evaluate.indexing import element_at, member_of
from lamina.bake.evaluate.operators import LOGICAL, negated, operand_type, operate
from lamina.bake.evaluate.scope import Scope, SyntaxFunction
from lamina.bake.hcl.syntax import (
    Attribute,
    Binary,
    Call,
    Conditional,
    Expression,
    For,
    Index,
    Item,
    Joined,
    Literal,
    ObjectOf,
    Parenthesized,
    Splat,
    Template,
    TupleOf,
    Unary,
    Variable,
    Wrapped,
    failure,
)
from lamina.bake.values.convert import ConversionError, convert, unify
from lamina.bake.values.value import (
    BOOL,
    DYNAMIC,
    NUMBER,
    STRING,
    Type,
    Value,
    friendly,
    list_value,
    object_value,
    string,
    tuple_value,
    whole,
)
from lamina.base.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


def evaluate(expression: Expression, scope: Scope) -> Value:
    """The value of an expression. Raises InvalidInput with the location of the error."""
    match expression:
        case Literal():
            return expression.value
        case Template():
            return string("".join(_text(part, scope) for part in expression.parts))
        case Wrapped() | Parenthesized():
            return evaluate(expression.inner, scope)
        case Joined():
            parts = evaluate(expression.inner, scope).elements
            return string("".join(part.text for part in parts))
        case Variable():
            return _variable(expression, scope)
        case Item():
            assert scope.item is not None
            return scope.item
        case Attribute():
            return member_of(evaluate(expression.source, scope), expression.name, expression.span)
        case Index():
            source = evaluate(expression.source, scope)
            return element_at(source, evaluate(expression.key, scope), expression.span)
        case Splat():
            return _splat(expression, scope)
        case Call():
            return _call(expression, scope)
        case Conditional():
            return _conditional(expression, scope)
        case Binary():
            return _binary(expression, scope)
        case Unary():
            want = NUMBER if expression.operator == "-" else BOOL
            return negated(_operand(expression.operand, want, scope))
        case TupleOf():
            return tuple_value(evaluate(element, scope) for element in expression.elements)
        case ObjectOf():
            return object_value(dict(_items(expression, scope)))
        case For():
            return _for(expression, scope)


def _variable(variable: Variable, scope: Scope) -> Value:
    value = scope.find(variable.name)
    if value is None:
        raise failure(f'there is no variable "{variable.name}"', variable.span)
    return value


def _text(part: Expression, scope: Scope) -> str:
    value = evaluate(part, scope)
    if value.is_null:
        raise failure("a null value cannot be part of a string", part.span)
    try:
        return convert(value, STRING).text
    except ConversionError as error:
        raise failure(f"this value cannot be part of a string: {error}", part.span) from None


def _splat(splat: Splat, scope: Scope) -> Value:
    source = evaluate(splat.source, scope)
    if not source.type.is_sequence:
        source = tuple_value(() if source.is_null else (source,))
    elif source.is_null:
        raise failure("a splat of a null sequence", splat.source.span)
    results = [evaluate(splat.each, scope._replace(item=element)) for element in source.elements]
    if source.type.kind == "tuple":
        return tuple_value(results)
    types = {result.type for result in results}
    if len(types) > 1:
        return tuple_value(results)
    return list_value(types.pop() if types else DYNAMIC, results)


def _operand(expression: Expression, want: Type, scope: Scope) -> Value:
    return _converted(evaluate(expression, scope), expression, want)


def _converted(value: Value, expression: Expression, want: Type) -> Value:
    """The value of an operand as the type of the operator. Raises InvalidInput."""
    try:
        value = convert(value, want)
    except ConversionError as error:
        raise failure(f"this operand does not fit: {error}", expression.span) from None
    if value.is_null and want != DYNAMIC:
        raise failure("this operand is null", expression.span)
    return value


def _binary(binary: Binary, scope: Scope) -> Value:
    want = {"number": NUMBER, "bool": BOOL, "any": DYNAMIC}[operand_type(binary.operator)]
    left = _operand(binary.left, want, scope)
    if binary.operator in LOGICAL and left.truth == (binary.operator == "||"):
        return left
    right = _operand(binary.right, want, scope)
    try:
        return operate(binary.operator, left, right)
    except ValueError as error:
        raise failure(str(error), binary.span) from None


def _conditional(conditional: Conditional, scope: Scope) -> Value:
    condition = evaluate(conditional.condition, scope)
    if condition.is_null:
        raise failure("the condition is null", conditional.condition.span)
    try:
        chosen = convert(condition, BOOL).truth
    except ConversionError as error:
        raise failure(f"the condition does not fit: {error}", conditional.condition.span) from None
    taken, other = conditional.truth, conditional.falsity
    if not chosen:
        taken, other = other, taken
    value = evaluate(taken, scope)
    try:
        alternative = evaluate(other, scope)
    except InvalidInput:
        return value  # the other branch may be invalid
    if DYNAMIC in (value.type, alternative.type) and not value.is_null:
        return value
    common = _common(value, alternative)
    if common is None:
        raise failure(
            "the two values of a conditional have different types:"
            f" {friendly(value.type)} and {friendly(alternative.type)}",
            taken.span if taken.span.start < other.span.start else other.span,
        )
    try:
        return convert(value, common)
    except ConversionError as error:
        raise failure(f"this value has the wrong type: {error}", taken.span) from None


def _common(value: Value, alternative: Value) -> Type | None:
    if value.type == DYNAMIC:
        return alternative.type
    return unify([value.type, alternative.type])


def _items(expression: ObjectOf, scope: Scope) -> Iterator[tuple[str, Value]]:
    for key, value in expression.items:
        yield _key(evaluate(key, scope), key), evaluate(value, scope)


def _key(value: Value, expression: Expression) -> str:
    if value.is_null:
        raise failure("a key is null", expression.span)
    try:
        return convert(value, STRING).text
    except ConversionError as error:
        raise failure(f"a key does not fit: {error}", expression.span) from None


def _for(loop: For, scope: Scope) -> Value:
    collection = evaluate(loop.collection, scope)
    if collection.is_null:
        raise failure("iteration over a null value", loop.collection.span)
    if not (collection.type.is_sequence or collection.type.is_mapping):
        raise failure(
            f"iteration over a value of type {friendly(collection.type)}, which has no elements",
            loop.collection.span,
        )
    found = [inner for inner in _iterations(loop, collection, scope) if _included(loop, inner)]
    if loop.key is None:
        return tuple_value(evaluate(loop.value, inner) for inner in found)
    members: dict[str, list[Value]] = {}
    for inner in found:
        key = _key(evaluate(loop.key, inner), loop.key)
        if key in members and not loop.grouped:
            raise failure(
                f'the key "{key}" occurs twice',
                loop.key.span,
                hint="write ... after the value to group values by key",
            )
        members.setdefault(key, []).append(evaluate(loop.value, inner))
    if loop.grouped:
        return object_value({key: tuple_value(values) for key, values in members.items()})
    return object_value({key: value for key, (value,) in members.items()})


def _iterations(loop: For, collection: Value, scope: Scope) -> Iterator[Scope]:
    for key, value in pairs(collection):
        variables: Mapping[str, Value] = {loop.value_name: value}
        if loop.key_name:
            variables = {loop.key_name: key, loop.value_name: value}
        yield scope.inside(variables)


def pairs(collection: Value) -> list[tuple[Value, Value]]:
    """Keys or indices of a collection, and its elements; a set's elements are their own keys."""
    if collection.type.is_mapping:
        return [(string(key), value) for key, value in collection.members.items()]
    if collection.type.kind == "set":
        return [(value, value) for value in collection.elements]
    return [(whole(index), value) for index, value in enumerate(collection.elements)]


def _included(loop: For, scope: Scope) -> bool:
    if loop.condition is None:
        return True
    return _operand(loop.condition, BOOL, scope).truth


def _call(call: Call, scope: Scope) -> Value:
    function = scope.functions.get(call.name)
    if function is None:
        from lamina.dockerfile.suggest import suggest

        hint = suggest(call.name, scope.functions)
        raise failure(f'there is no function "{call.name}"', call.span, hint=hint)
    if isinstance(function, SyntaxFunction):
        return function.call(call, scope)
    arguments = [(evaluate(argument, scope), argument) for argument in call.arguments]
    if call.expanded:
        arguments = [*arguments[:-1], *_expanded(*arguments[-1])]
    parameters = function.parameters
    least = len(parameters)
    if len(arguments) < least or (function.variadic is None and len(arguments) > least):
        wanted = f"{'at least ' if function.variadic else ''}{least}"
        names = ", ".join(parameter.name for parameter in parameters)
        raise failure(
            f"{call.name}({names}) takes {wanted} argument{'' if least == 1 else 's'},"
            f" not {len(arguments)}",
            call.span,
        )
    values = []
    for index, (value, argument) in enumerate(arguments):
        parameter = parameters[index] if index < least else function.variadic
        assert parameter is not None
        try:
            value = convert(value, parameter.type)
        except ConversionError as error:
            raise failure(f"{call.name}: {parameter.name}: {error}", argument.span) from None
        if value.is_null and not parameter.takes_null:
            raise failure(f"{call.name}: {parameter.name} must not be null", argument.span)
        values.append(value)
    return _applied(call, function.call, values)


def _applied(call: Call, function: Applicable, values: Sequence[Value]) -> Value:
    try:
        return function(values)
    except ValueError as error:
        raise failure(f"{call.name}: {error}", call.span) from None
    except RecursionError:
        raise failure(f"{call.name} calls itself too often", call.span) from None


def _expanded(value: Value, expression: Expression) -> list[tuple[Value, Expression]]:
    if value.is_null or not value.type.is_sequence:
        raise failure("an argument that is expanded is a list, a set or a tuple", expression.span)
    return [(element, expression) for element in value.elements]


if TYPE_CHECKING:
    from collections.abc import Callable

    Applicable = Callable[[Sequence[Value]], Value]
