"""`NamedTuple` as in `typing`, made without compiling the annotations.

Until Python 3.14, `typing.NamedTuple` turns each annotation that is a string into a checked
`ForwardRef`. lamina's annotations are all strings, which only type checkers read, and a cached
build defines more than a hundred of these classes: see docs/decisions/0007-named-tuples.md.
"""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import NamedTuple
else:

    class _NamedTupleMeta(type):
        def __new__(
            cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]
        ) -> type[tuple]:
            if not bases:
                return super().__new__(cls, name, bases, namespace)
            annotations = namespace.get("__annotations__", {})
            defaults = []
            for field in annotations:
                if field in namespace:
                    defaults.append(namespace.pop(field))
                elif defaults:
                    raise TypeError(f"field {field} of {name} needs a default: others have one")
            made = namedtuple(
                name, annotations, defaults=defaults, module=namespace.pop("__module__")
            )
            for key, value in namespace.items():
                setattr(made, key, value)
            return made

    class NamedTuple(metaclass=_NamedTupleMeta):
        """The base of classes whose annotated names become the fields of a tuple."""


__all__ = ["NamedTuple"]
