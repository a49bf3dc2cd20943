"""`NamedTuple` as in `typing`, made in a third of the time.

A cached build defines more than two hundred of these classes, so making them is a part of its
start. `typing.NamedTuple` compiles the annotations, which only type checkers read, and
`collections.namedtuple` compiles a constructor for each class, which gets its methods one by one:
see docs/decisions/0007-named-tuples.md.
"""

from __future__ import annotations

from collections import _tuplegetter  # type: ignore[attr-defined] # as `namedtuple` uses it
from types import FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import CodeType
    from typing import NamedTuple
else:
    _constructors: dict[int, CodeType] = {}
    _GLOBALS = {"_tuple_new": tuple.__new__, "__name__": __name__}

    def _constructor(name: str, fields: tuple[str, ...], defaults: tuple[Any, ...]) -> FunctionType:
        """`__new__` of a class: a function compiled once for each number of fields, renamed."""
        template = _constructors.get(len(fields))
        if template is None:
            names = "".join(f"_{index}," for index in range(len(fields)))
            made = eval(f"lambda _cls, {names}: _tuple_new(_cls, ({names}))")
            template = _constructors[len(fields)] = made.__code__
        code = template.replace(co_varnames=("_cls", *fields), co_name="__new__")
        function = FunctionType(code, _GLOBALS, "__new__", defaults)
        function.__qualname__ = f"{name}.__new__"
        return function

    class _Value(tuple):
        """The common base of all classes: the methods of `collections.namedtuple`."""

        __slots__ = ()

        @classmethod
        def _make(cls, values):
            made = tuple.__new__(cls, values)
            if len(made) != len(cls._fields):
                raise TypeError(f"Expected {len(cls._fields)} arguments, got {len(made)}")
            return made

        def _replace(self, /, **changes):
            made = self._make(map(changes.pop, self._fields, self))
            if changes:
                raise ValueError(f"Got unexpected field names: {list(changes)!r}")
            return made

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def __repr__(self):
            shown = ", ".join(f"{n}={v!r}" for n, v in zip(self._fields, self, strict=True))
            return f"{type(self).__name__}({shown})"

        def __getnewargs__(self):
            return tuple(self)

    class _NamedTupleMeta(type):
        def __new__(
            cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]
        ) -> type[tuple]:
            if not bases:
                return super().__new__(cls, name, bases, namespace)
            fields = tuple(namespace.get("__annotations__", ()))
            defaults: dict[str, Any] = {}
            for index, field in enumerate(fields):
                if field.startswith("_") or not field.isidentifier():
                    raise ValueError(f"field {field} of {name} starts with an underscore")
                if field in namespace:
                    defaults[field] = namespace[field]
                elif defaults:
                    raise TypeError(f"field {field} of {name} needs a default: others have one")
                namespace[field] = _tuplegetter(index, f"Alias for field number {index}")
            namespace.setdefault("__doc__", f"{name}({', '.join(fields)})")
            namespace["__slots__"] = ()
            namespace["_fields"] = namespace["__match_args__"] = fields
            namespace["_field_defaults"] = defaults
            namespace["__new__"] = _constructor(name, fields, tuple(defaults.values()))
            return type(name, (_Value,), namespace)

    class NamedTuple(metaclass=_NamedTupleMeta):
        """The base of classes whose annotated names become the fields of a tuple."""


__all__ = ["NamedTuple"]
