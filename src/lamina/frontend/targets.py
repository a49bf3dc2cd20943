"""Targets: the functions of a build file that make states."""

from __future__ import annotations

import inspect
import types
import typing
from contextvars import ContextVar
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, overload

from lamina.base.booleans import parse_bool
from lamina.base.errors import InvalidInput
from lamina.base.location import Location
from lamina.base.named_tuple import NamedTuple
from lamina.frontend.session import current_session
from lamina.states.caller import LANGUAGE
from lamina.states.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_EMPTY = inspect.Parameter.empty
_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_running: ContextVar[tuple[Target, ...]] = ContextVar("running", default=())


class Parameter(NamedTuple):
    """A parameter of a target, which is a build argument.

    `default` is None if the argument is required.
    """

    name: str
    annotation: Any
    default: str | None
    value: Any = _EMPTY


class Target:
    """A function that makes a state. Made by `target`.

    Targets may call each other. Arguments that a call leaves out are those of the build.
    """

    def __init__(self, function: Callable[..., State], name: str, *, default: bool) -> None:
        self.function = function
        self.name = name or function.__name__
        self.default = default
        self.description = inspect.cleandoc(function.__doc__ or "").partition("\n")[0]
        self.__doc__ = function.__doc__

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The build arguments. Raises InvalidInput for annotations that no argument can have."""
        try:
            signature = inspect.signature(self.function, eval_str=True)
        except NameError as error:
            raise InvalidInput(f"target {self.name}: {error}").at(self.location()) from None
        return tuple(self._parameter(each) for each in signature.parameters.values())

    def _parameter(self, parameter: inspect.Parameter) -> Parameter:
        if parameter.kind not in _KINDS:
            raise InvalidInput(
                f"target {self.name}: *{parameter.name} cannot be a build argument"
            ).at(self.location())
        annotation = str if parameter.annotation is _EMPTY else parameter.annotation
        _check_annotation(self, parameter.name, annotation)
        default = parameter.default
        shown = None if default is _EMPTY else show_value(default)
        return Parameter(parameter.name, annotation, shown, default)

    def location(self) -> Location | None:
        """The line of the function."""
        code = self.function.__code__
        import linecache

        text = "".join(linecache.getlines(code.co_filename))
        line = code.co_firstlineno
        return Location(code.co_filename, line, line, text, language=LANGUAGE)

    def __call__(self, *arguments: Any, **named: Any) -> State:
        """Make the state. Raises InvalidInput."""
        chain = _running.get()
        if self in chain:
            names = " → ".join(each.name for each in (*chain, self))
            raise InvalidInput(f"targets depend on each other in a cycle: {names}")
        signature = inspect.signature(self.function)
        try:
            bound = signature.bind_partial(*arguments, **named)
        except TypeError as error:
            raise InvalidInput(f"target {self.name}: {error}") from None
        given = current_session().build_args
        for parameter in self.parameters:
            if parameter.name in bound.arguments:
                continue
            text = argument_of(given, parameter.name)
            if text is not None:
                value = read_value(parameter, text)
            elif parameter.default is None:
                raise InvalidInput(
                    f"target {self.name}: the build argument {parameter.name} is required",
                    hint=f"pass it: --build-arg {parameter.name}=VALUE",
                ).at(self.location())
            else:
                value = parameter.value
            bound.arguments[parameter.name] = value
        token = _running.set((*chain, self))
        try:
            made = self.function(*bound.args, **bound.kwargs)
        finally:
            _running.reset(token)
        if not isinstance(made, State):
            raise InvalidInput(
                f"target {self.name} returned {type(made).__name__}, not a State"
            ).at(self.location())
        return made


@overload
def target(function: Callable[..., State], /) -> Target: ...
@overload
def target(
    *, name: str = "", default: bool = False
) -> Callable[[Callable[..., State]], Target]: ...
def target(
    function: Callable[..., State] | None = None, /, *, name: str = "", default: bool = False
) -> Target | Callable[[Callable[..., State]], Target]:
    """Make a function a target.

    Its parameters become build arguments, with the types `str`, `int`, `float`, `bool`, `Literal`,
    an `Enum`, `list[str]` (separated by commas), or one of these `| None`. Its docstring is the
    description of the target.

    Args:
        name: by default that of the function.
        default: whether it is built without `--target`. Otherwise the last target is.
    """
    if function is not None:
        return Target(function, name, default=default)
    return lambda made: Target(made, name, default=default)


def argument_of(given: Mapping[str, str], name: str) -> str | None:
    """The build argument for a parameter: of its name, else of the name in upper case."""
    return given.get(name, given.get(name.upper()))


def show_value(value: object) -> str:
    """A default as a build argument is written."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Enum():
            return str(value.value)
        case list() | tuple():
            return ",".join(map(str, value))
    return str(value)


def read_value(parameter: Parameter, text: str) -> Any:
    """A build argument as a value of the parameter's type. Raises InvalidInput."""
    kind = parameter.annotation
    if get_origin(kind) in (Union, types.UnionType):
        [kind] = [each for each in get_args(kind) if each is not type(None)]
        if not text:
            return None
    try:
        return _converted(kind, text)
    except ValueError:
        raise InvalidInput(
            f'build argument {parameter.name}: "{text}" is not {_expected(kind)}'
        ) from None


def _converted(kind: Any, text: str) -> Any:
    if get_origin(kind) is Literal:
        for choice in get_args(kind):
            if str(choice) == text:
                return choice
        raise ValueError(text)
    if get_origin(kind) is list or kind is list:
        return [part for part in text.split(",") if part]
    if kind is bool:
        chosen = parse_bool(text)
        if chosen is None:
            raise ValueError(text)
        return chosen
    if isinstance(kind, type) and issubclass(kind, Enum):
        for member in kind:
            if str(member.value) == text or member.name == text:
                return member
        raise ValueError(text)
    return kind(text)


def _expected(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return f"one of {', '.join(str(member.value) for member in kind)}"
    names = {int: "an integer", float: "a number", bool: "true or false"}
    return names.get(kind, "valid")


def _check_annotation(made: Target, name: str, annotation: Any) -> None:
    kind = annotation
    if get_origin(kind) in (Union, types.UnionType):
        kinds = [each for each in get_args(kind) if each is not type(None)]
        kind = kinds[0] if len(kinds) == 1 else None
    plain = kind in (str, int, float, bool, list, typing.Any)
    listed = get_origin(kind) is Literal or (get_origin(kind) is list and get_args(kind) == (str,))
    if plain or listed or (isinstance(kind, type) and issubclass(kind, Enum)):
        return
    raise InvalidInput(
        f"target {made.name}: the parameter {name} has a type that no build argument can have:"
        f" {annotation}",
        hint="use str, int, float, bool, Literal, an Enum or list[str]",
    ).at(made.location())


def find_targets(namespace: Mapping[str, Any]) -> tuple[Target, ...]:
    """The targets of a module, in the order of its text. Raises InvalidInput (equal names)."""
    found: dict[str, Target] = {}
    for value in namespace.values():
        if isinstance(value, Target) and value not in found.values():
            if value.name in found:
                raise InvalidInput(f"two targets have the name {value.name}").at(value.location())
            found[value.name] = value
    return tuple(found.values())


def default_target(targets: tuple[Target, ...]) -> Target:
    """The target that is built if none is named. Raises InvalidInput."""
    marked = [each for each in targets if each.default]
    if len(marked) > 1:
        names = " and ".join(each.name for each in marked)
        raise InvalidInput(f"several targets are the default: {names}").at(marked[1].location())
    return marked[0] if marked else targets[-1]


def choose_target(targets: tuple[Target, ...], name: str, filename: str) -> Target:
    """The target with this name, or the default. Raises InvalidInput, NotFound."""
    from lamina.base.errors import NotFound
    from lamina.dockerfile.suggest import suggest

    if not targets:
        raise InvalidInput(
            f"{filename} has no target", hint="decorate a function with @lamina.frontend.target"
        )
    if not name:
        return default_target(targets)
    names = [each.name for each in targets]
    if name not in names:
        hint = suggest(name, tuple(names)) or f"there are {', '.join(names)}"
        raise NotFound(f"target {name} is not in {filename}", hint=hint)
    return targets[names.index(name)]
