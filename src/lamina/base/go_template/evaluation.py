"""Executes templates, as Go's `text/template` does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lamina.base.go_template.errors import Malformed, WrongArguments
from lamina.base.go_template.functions import LAZY, truth
from lamina.base.go_template.nodes import (
    Action,
    Break,
    Call,
    Chain,
    Continue,
    Dot,
    Field,
    Function,
    If,
    Literal,
    Nil,
    Pipeline,
    Range,
    Text,
    Variable,
    With,
)
from lamina.base.go_template.printing import Struct, is_list, show, type_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lamina.base.go_template.functions import TemplateFunction
    from lamina.base.go_template.nodes import Command, Node, Operand, Parsed

_MAX_CALLS = 50
_NOTHING = object()  # there is no value that a pipeline passes on


class _Leave(Exception):
    """`{{break}}`, or `{{continue}}`."""

    def __init__(self, again: bool) -> None:
        super().__init__()
        self.again = again


def execute(parsed: Parsed, functions: Mapping[str, TemplateFunction], data: object) -> str:
    """The text of a template for some data. Raises Malformed."""
    state = _State(parsed.defined, functions, data)
    state.walk(parsed.nodes, data)
    return "".join(state.out)


class _State:
    def __init__(
        self,
        defined: Mapping[str, tuple[Node, ...]],
        functions: Mapping[str, TemplateFunction],
        data: object,
    ) -> None:
        self.out: list[str] = []
        self._defined = defined
        self._functions = functions
        self._variables: list[tuple[str, Any]] = [("$", data)]
        self._calls = 0

    def walk(self, nodes: Sequence[Node], dot: Any) -> None:
        for node in nodes:
            self._node(node, dot)

    def _node(self, node: Node, dot: Any) -> None:
        match node:
            case Text(_, text):
                self.out.append(text)
            case Action(_, pipeline):
                value = self._pipeline(pipeline, dot)
                if not pipeline.declared:
                    self.out.append("<no value>" if value is None else show(value))
            case If() | With():
                self._condition(node, dot)
            case Range():
                self._range(node, dot)
            case Break():
                raise _Leave(again=False)
            case Continue():
                raise _Leave(again=True)
            case Call():
                self._call(node, dot)

    def _condition(self, node: If | With, dot: Any) -> None:
        known = len(self._variables)
        value = self._pipeline(node.pipeline, dot)
        if truth(value):
            self.walk(node.body, value if isinstance(node, With) else dot)
        else:
            self.walk(node.otherwise, dot)
        del self._variables[known:]

    def _range(self, node: Range, dot: Any) -> None:
        known = len(self._variables)
        declared = node.pipeline.declared
        value = self._pipeline(node.pipeline._replace(declared=()), dot)
        if declared and not node.pipeline.assigned:
            self._variables += [(name, None) for name in declared]
        inner = len(self._variables)
        count = 0
        for key, item in self._items(node, value):
            count += 1
            for name, each in zip(reversed(declared), (item, key), strict=False):
                self._set(name, each)
            try:
                self.walk(node.body, item)
            except _Leave as leave:
                if not leave.again:
                    break
            finally:
                del self._variables[inner:]
        if not count:
            self.walk(node.otherwise, dot)
        del self._variables[known:]

    def _items(self, node: Range, value: Any) -> Iterable[tuple[Any, Any]]:
        if value is None:
            return ()
        if is_list(value):
            return enumerate(value)
        if isinstance(value, Mapping) and not isinstance(value, Struct):
            return ((key, value[key]) for key in sorted(value))
        if isinstance(value, int) and not isinstance(value, bool):
            return ((number, number) for number in range(value))
        raise Malformed(f"range can't iterate over {show(value)}", node.pipeline.at)

    def _call(self, node: Call, dot: Any) -> None:
        nodes = self._defined.get(node.name)
        if nodes is None:
            raise Malformed(f'template "{node.name}" not defined', node.at)
        self._calls += 1
        if self._calls > _MAX_CALLS:
            raise Malformed("exceeded maximum template depth", node.at)
        value = None if node.pipeline is None else self._pipeline(node.pipeline, dot)
        variables, self._variables = self._variables, [("$", value)]
        self.walk(nodes, value)
        self._variables = variables
        self._calls -= 1

    # Values

    def _pipeline(self, pipeline: Pipeline, dot: Any) -> Any:
        value: Any = _NOTHING
        for command in pipeline.commands:
            value = self._command(command, dot, value)
        for name in pipeline.declared:
            if pipeline.assigned:
                self._set(name, value)
            else:
                self._variables.append((name, value))
        return value

    def _set(self, name: str, value: Any) -> None:
        for index in range(len(self._variables) - 1, -1, -1):
            if self._variables[index][0] == name:
                self._variables[index] = (name, value)
                return

    def _command(self, command: Command, dot: Any, final: Any) -> Any:
        first, *rest = command.operands
        if isinstance(first, Function):
            return self._function(first, rest, dot, final)
        if rest or final is not _NOTHING:
            if isinstance(first, Field | Variable | Chain) and first.names:
                what = f'"{first.names[-1]}" has arguments but is no function'
            else:
                what = "can't give argument to non-function"
            raise Malformed(what, first.at)
        if isinstance(first, Nil):
            raise Malformed("nil is not a command", first.at)
        return self._value(first, dot)

    def _function(
        self, function: Function, operands: Sequence[Operand], dot: Any, final: Any
    ) -> Any:
        if function.name in LAZY:
            return self._choice(function, operands, dot, final)
        values = [self._argument(operand, dot) for operand in operands]
        if final is not _NOTHING:
            values.append(final)
        called = self._functions[function.name]
        try:
            return called(*values)
        except WrongArguments as error:
            raise Malformed(f"error calling {function.name}: {error}", function.at) from None
        except TypeError:
            if _accepts(called, len(values)):
                raise
            raise Malformed(
                f"wrong number of args for {function.name}: got {len(values)}", function.at
            ) from None

    def _choice(self, function: Function, operands: Sequence[Operand], dot: Any, final: Any) -> Any:
        """`and`: the first false value; `or`: the first true one; else the last."""
        value: Any = _NOTHING
        for operand in operands:
            value = self._argument(operand, dot)
            if truth(value) == (function.name == "or"):
                return value
        value = final if final is not _NOTHING else value
        if value is _NOTHING:
            raise Malformed(f"wrong number of args for {function.name}: got 0", function.at)
        return value

    def _argument(self, operand: Operand, dot: Any) -> Any:
        if isinstance(operand, Function):
            return self._function(operand, (), dot, _NOTHING)
        return self._value(operand, dot)

    def _value(self, operand: Operand, dot: Any) -> Any:
        match operand:
            case Dot():
                return dot
            case Nil():
                return None
            case Literal(_, value):
                return value
            case Field(at, names):
                return self._fields(dot, names, at)
            case Variable(at, name, names):
                value = next(v for n, v in reversed(self._variables) if n == name)
                return self._fields(value, names, at)
            case Chain(at, inner, names):
                return self._fields(self._argument(inner, dot), names, at)
            case Pipeline():
                return self._pipeline(operand, dot)
            case Function():
                return self._function(operand, (), dot, _NOTHING)

    def _fields(self, value: Any, names: Sequence[str], at: int) -> Any:
        for name in names:
            value = _field(value, name, at)
        return value


def _field(value: Any, name: str, at: int) -> Any:
    """A field. As documents have JSON's names and templates Go's, case does not matter."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        if name in value:
            return value[name]
        lower = name.lower()
        other = next((key for key in value if key.lower() == lower), None)
        if other is not None:
            return value[other]
        if not isinstance(value, Struct):
            return None
        known = ", ".join(value)
        raise Malformed(f"can't evaluate field {name}: the fields are {known}", at)
    raise Malformed(f"can't evaluate field {name} in type {type_name(value)}", at)


def _accepts(function: TemplateFunction, count: int) -> bool:
    from inspect import signature

    try:
        signature(function).bind(*range(count))
    except TypeError:
        return False
    return True
