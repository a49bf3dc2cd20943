"""Functions that take expressions instead of values, and types in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.bake.evaluate.expression import evaluate
from lamina.bake.evaluate.scope import SyntaxFunction
from lamina.bake.evaluate.types import type_constraint
from lamina.bake.hcl.syntax import failure
from lamina.bake.values.convert import ConversionError, convert
from lamina.bake.values.value import Value, boolean
from lamina.base.errors import InvalidInput

if TYPE_CHECKING:
    from lamina.bake.evaluate.scope import Scope
    from lamina.bake.hcl.syntax import Call


def _try(call: Call, scope: Scope) -> Value:
    reasons = []
    for argument in call.arguments:
        try:
            return evaluate(argument, scope)
        except InvalidInput as error:
            reasons.append(error.reason)
    if not reasons:
        raise failure("try: at least one argument is needed", call.span)
    raise failure(f"try: no expression has a value: {'; '.join(reasons)}", call.span)


def _can(call: Call, scope: Scope) -> Value:
    _count(call, 1)
    try:
        evaluate(call.arguments[0], scope)
    except InvalidInput:
        return boolean(False)
    return boolean(True)


def _convert(call: Call, scope: Scope) -> Value:
    _count(call, 2)
    value = evaluate(call.arguments[0], scope)
    try:
        return convert(value, type_constraint(call.arguments[1]))
    except ConversionError as error:
        raise failure(f"convert: {error}", call.arguments[0].span) from None


def _count(call: Call, wanted: int) -> None:
    if len(call.arguments) != wanted:
        plural = "" if wanted == 1 else "s"
        raise failure(
            f"{call.name} takes {wanted} argument{plural}, not {len(call.arguments)}", call.span
        )


FUNCTIONS = {
    "can": SyntaxFunction(_can),
    "convert": SyntaxFunction(_convert),
    "try": SyntaxFunction(_try),
}
