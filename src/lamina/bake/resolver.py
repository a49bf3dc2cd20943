"""Evaluates the blocks of bake files: variables, functions, targets and groups.

What an expression refers to is evaluated before it, and only the attributes that are needed, so
that targets can refer to each other.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import product
from typing import TYPE_CHECKING, Any

from lamina.bake.attributes import KINDS, field, to_object
from lamina.bake.evaluate.expression import evaluate
from lamina.bake.evaluate.scope import Function, Parameter, Scope
from lamina.bake.functions import standard_library
from lamina.bake.hcl.references import FunctionReference, Reference, references
from lamina.bake.hcl.syntax import Block, Expression, Setting, Span, TupleOf, failure, keyword
from lamina.bake.values.convert import ConversionError, convert
from lamina.bake.values.value import STRING, Value, null, object_value, string, tuple_value
from lamina.bake.variables import VariableBlock, find_override, with_override
from lamina.base.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lamina.bake.evaluate.scope import AnyFunction


class _Undefined(InvalidInput):
    """A variable or function that does not exist; the evaluation may not need it."""


class _Variant:
    """A block with one combination of its matrix, and its evaluated attributes."""

    def __init__(self, name: str, scope: Scope) -> None:
        self.name = name
        self.scope = scope
        self.known: dict[str, Any] = {}
        self.done: set[str] = set()
        self.running: set[str] = set()


class Resolver:
    """Evaluates on demand.

    Args:
        variables: blocks, by name.
        attributes: settings outside of blocks, by name.
        functions: blocks, by name.
        built_in: variables that nothing can override.
        look_up: returns values of the environment and `--var`.
        check_name: raises ValueError for a name that no target may have.
    """

    def __init__(
        self,
        variables: Mapping[str, VariableBlock],
        attributes: Mapping[str, Setting],
        functions: Mapping[str, Block],
        built_in: Mapping[str, str],
        look_up: Callable[[str], str | None],
        check_name: Callable[[str], None],
    ) -> None:
        self._blocks: dict[tuple[str, str], list[Block]] = {}
        self._variables = variables
        self._attributes = attributes
        self._functions = functions
        self._look_up = look_up
        self._check_name = check_name
        self._built_in = built_in
        self._values: dict[str, Value] = {name: string(text) for name, text in built_in.items()}
        self._library: dict[str, AnyFunction] = standard_library()
        self._objects: dict[str, dict[str, Value]] = {}
        self._variants: dict[int, list[_Variant]] = {}
        self._named: set[int] = set()
        self._running: set[tuple[str, str]] = set()
        self.scope = Scope(self._values, self._library)

    def variable(self, name: str) -> Value:
        """The value of a variable or attribute of the file. Raises InvalidInput."""
        if name not in self._values:
            self._values[name] = self._evaluated(name)
        return self._values[name]

    def function(self, name: str) -> None:
        """Make a function of the file known. Raises InvalidInput."""
        if name not in self._library:
            self._library[name] = self._defined(name)

    def load(self, expression: Expression, scope: Scope | None = None) -> None:
        """Evaluate the references of an expression. Raises InvalidInput.

        Missing ones are no error here: the evaluation may not need them.
        """
        for reference in references(expression):
            try:
                self._load(reference, scope or self.scope)
            except _Undefined:
                continue

    def value(self, expression: Expression, scope: Scope | None = None) -> Value:
        """The value of an expression, with all that it refers to. Raises InvalidInput."""
        self.load(expression, scope)
        return evaluate(expression, scope or self.scope)

    def add(self, block: Block) -> list[str]:
        """Take a target or group. Returns the names that it makes. Raises InvalidInput."""
        names = self._names(block)
        for name in names:
            self._blocks.setdefault((block.kind, name), []).append(block)
        return names

    def finish(self, block: Block) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The names of a block and its attributes, by their fields. Raises InvalidInput."""
        self._resolve(block, None)
        for variant in self._variants[id(block)]:
            yield variant.name, variant.known

    def _load(self, reference: Reference | FunctionReference, scope: Scope) -> None:
        if isinstance(reference, FunctionReference):
            if reference.name not in self._library:
                if reference.name not in self._functions:
                    raise _Undefined(f'there is no function "{reference.name}"')
                self.function(reference.name)
        elif reference.name in KINDS and scope.find(reference.name) in (
            None,
            self._values.get(reference.name),
        ):
            self._load_block(reference)
        elif scope.find(reference.name) is None:
            if reference.name not in self._attributes and reference.name not in self._variables:
                raise _Undefined(f'there is no variable "{reference.name}"')
            self.variable(reference.name)

    def _load_block(self, reference: Reference) -> None:
        kind = reference.name
        if not reference.steps or not reference.steps[0]:
            raise failure(
                f"{kind} is no variable", reference.span, hint=f"write {kind}.NAME.ATTRIBUTE"
            )
        name, *rest = reference.steps
        self._objects.setdefault(kind, {})
        for block in self._blocks.get((kind, name), ()):
            self._resolve(block, rest[0] if rest and rest[0] else None)

    @contextmanager
    def _once(self, what: str, name: str, span: Span) -> Iterator[None]:
        """Raise InvalidInput for a circular reference."""
        if (what, name) in self._running:
            raise failure(f'{what} "{name}" depends on itself', span)
        self._running.add((what, name))
        try:
            yield
        finally:
            self._running.discard((what, name))

    def _evaluated(self, name: str) -> Value:
        setting = self._attributes.get(name)
        block = self._variables.get(name)
        defined = setting or block
        assert defined is not None
        span = defined.span
        with self._once("variable", name, span):
            expression = setting.expression if setting is not None else block and block.default
            value = None if expression is None else self.value(expression)
            if block is None:
                assert value is not None
                return value
            kind = block.type if setting is None else None
            if value is not None and kind is not None:
                assert expression is not None
                try:
                    value = convert(value, kind)
                except ConversionError as error:
                    raise failure(
                        f'the default of variable "{name}" does not fit: {error}', expression.span
                    ) from None
            block = block._replace(type=kind)
            given = find_override(name, self._look_up, self._is_defined, typed=kind is not None)
            try:
                value = with_override(block, value, given)
            except (ValueError, InvalidInput) as error:
                raise failure(f'variable "{name}": {error}', span) from None
            if value is None:
                return string("") if kind is None else null(kind)
            return value

    def _is_defined(self, name: str) -> bool:
        return name in self._variables or name in self._built_in

    def _defined(self, name: str) -> Function:
        block = self._functions[name]
        settings = {setting.name: setting.expression for setting in block.body.settings}
        for needed in ("params", "result"):
            if needed not in settings:
                raise failure(f'function "{name}" needs "{needed}"', block.span)
        parameters = _parameter_names(settings["params"])
        rest = ""
        if "variadic_params" in settings:
            rest = _name(settings["variadic_params"])
        result = settings["result"]
        bound = frozenset((*parameters, rest))
        with self._once("function", name, block.span):
            for reference in references(result, bound):
                self._load(reference, self.scope)

        def call(values: Sequence[Value]) -> Value:
            named = dict(zip(parameters, values, strict=False))
            if rest:
                named[rest] = tuple_value(values[len(parameters) :])
            return evaluate(result, self.scope.inside(named))

        variadic = Parameter(rest) if rest else None
        return Function(tuple(map(Parameter, parameters)), variadic, call)

    def _names(self, block: Block) -> list[str]:
        if id(block) not in self._variants:
            self._variants[id(block)] = [
                _Variant(block.labels[0], scope) for scope in self._scopes(block)
            ]
        variants = self._variants[id(block)]
        if id(block) not in self._named:
            self._named.add(id(block))
            self._check(block.labels[0], block.span)
            given = _setting(block, "name")
            if given is not None and _setting(block, "matrix") is None:
                raise failure("a name is for targets with a matrix", given.span)
            for variant in variants:
                if given is not None:
                    variant.name = self._text(given.expression, variant.scope)
                    self._check(variant.name, given.span)
            names = [variant.name for variant in variants]
            if len(set(names)) < len(names):
                double = next(name for name in names if names.count(name) > 1)
                raise failure(
                    f'the matrix makes several targets "{double}"',
                    block.span,
                    hint="give a name with all variables of the matrix",
                )
        return [variant.name for variant in variants]

    def _check(self, name: str, span: Span) -> None:
        try:
            self._check_name(name)
        except ValueError as error:
            raise failure(str(error), span) from None

    def _text(self, expression: Expression, scope: Scope) -> str:
        value = self.value(expression, scope)
        try:
            converted = convert(value, STRING)
        except ConversionError as error:
            raise failure(f"the name does not fit: {error}", expression.span) from None
        if converted.is_null:
            raise failure("the name is null", expression.span)
        return converted.text

    def _scopes(self, block: Block) -> list[Scope]:
        """A scope for each combination of the matrix: the first name changes fastest."""
        setting = _setting(block, "matrix")
        if setting is None:
            return [self.scope]
        if block.kind == "group":
            raise failure("a group has no matrix", setting.span)
        matrix = self.value(setting.expression)
        if matrix.is_null or not matrix.type.is_mapping:
            raise failure("a matrix is a map of lists", setting.expression.span)
        for name, values in matrix.members.items():
            if values.is_null or not values.type.is_sequence:
                raise failure(f'"{name}" of a matrix is a list', setting.expression.span)
        names = list(matrix.members)
        rows = product(*(matrix.members[name].elements for name in reversed(names)))
        return [self.scope.inside(dict(zip(reversed(names), row, strict=True))) for row in rows]

    def _resolve(self, block: Block, only: str | None) -> None:
        """Evaluate one attribute of a block, or all."""
        self._names(block)
        table = KINDS[block.kind]
        for variant in self._variants[id(block)]:
            wanted = [
                setting
                for setting in block.body.settings
                if setting.name in table
                and setting.name not in variant.done
                and only in (None, setting.name)
            ]
            if only is not None:
                if only in variant.done:
                    continue
                if only in variant.running:
                    raise failure(
                        f"{block.kind}.{variant.name}.{only} depends on itself", block.span
                    )
                variant.running.add(only)
            for setting in wanted:
                self.load(setting.expression, variant.scope)
            for setting in wanted:
                if setting.name not in variant.done:
                    variant.known[field(setting.name)] = self._read(block, setting, variant.scope)
                    variant.done.add(setting.name)
            if only is not None:
                variant.done.add(only)
            self._publish(block.kind, variant)

    def _read(self, block: Block, setting: Setting, scope: Scope) -> object:
        value = evaluate(setting.expression, scope)
        if value.is_null:
            return None
        try:
            return KINDS[block.kind][setting.name].read(value)
        except (ConversionError, InvalidInput) as error:
            raise failure(
                f'"{setting.name}" of {block.kind} "{block.labels[0]}": {error}',
                setting.expression.span,
            ) from None

    def _publish(self, kind: str, variant: _Variant) -> None:
        """Make the evaluated attributes of a block available to expressions."""
        objects = self._objects.setdefault(kind, {})
        objects[variant.name] = to_object(kind, variant.name, variant.known)
        self._values[kind] = object_value(objects)


def _setting(block: Block, name: str) -> Setting | None:
    return next((setting for setting in block.body.settings if setting.name == name), None)


def _parameter_names(expression: Expression) -> list[str]:
    if not isinstance(expression, TupleOf):
        raise failure("params is a list of names", expression.span)
    return [_name(element) for element in expression.elements]


def _name(expression: Expression) -> str:
    name = keyword(expression)
    if not name:
        raise failure("a parameter is a name, without quotes", expression.span)
    return name
