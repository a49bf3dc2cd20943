"""Loads a build file, and the modules beside it, through the gateway."""

from __future__ import annotations

import linecache
import posixpath
import sys
from importlib.util import module_from_spec, spec_from_loader
from typing import TYPE_CHECKING, Any

from lamina.base.errors import InvalidInput, LaminaError, NotFound
from lamina.base.location import Location
from lamina.states.caller import LANGUAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    ReadFile = Callable[[str], bytes]

NAME = "build_file"
_LOADED: set[str] = set()
"""The files that were read through the gateway."""


class GatewayModules:
    """Imports the modules beside a build file: `name.py`, or the package `name`.

    A finder and loader as `importlib.abc` defines them. It does not inherit from those classes,
    whose import takes longer than a build file.

    Args:
        read: reads a file by its path beside the build file. Raises NotFound.
    """

    def __init__(self, read: ReadFile, filename: str) -> None:
        self._read = read
        self._directory = posixpath.dirname(filename)
        self._sources: dict[str, tuple[str, str]] = {}
        self._main = filename

    def main(self) -> dict[str, Any]:
        """Run the build file. Returns its namespace. Raises NotFound, and InvalidInput with a
        location."""
        source = _decoded(self._read(self._main), self._main)
        self._sources[NAME] = (self._main, source)
        spec = self._spec(NAME, self._main)
        assert spec is not None
        module = module_from_spec(spec)
        sys.modules[NAME] = module
        sys.meta_path.append(self)
        try:
            self.exec_module(module)
        except BaseException as error:
            raise located_error(error) from error
        return vars(module)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        base = posixpath.join(self._directory, *fullname.split("."))
        for name, package in ((f"{base}.py", False), (f"{base}/__init__.py", True)):
            try:
                data = self._read(name)
            except NotFound:
                continue
            self._sources[fullname] = (name, _decoded(data, name))
            return self._spec(fullname, name, is_package=package)
        return None

    def _spec(self, name: str, origin: str, *, is_package: bool = False) -> ModuleSpec | None:
        loader: Any = self
        return spec_from_loader(name, loader, origin=origin, is_package=is_package)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        filename, source = self._sources[module.__name__]
        # Excerpts of errors, and `inspect`, read the text from here.
        lines = source.splitlines(keepends=True)
        linecache.cache[filename] = (len(source), None, lines, filename)
        _LOADED.add(filename)
        module.__file__ = filename
        exec(compile(source, filename, "exec"), vars(module))


def _decoded(data: bytes, filename: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{filename} is not UTF-8: {error}") from None


def located_error(error: BaseException) -> LaminaError:
    """An exception of a build file, with the innermost of its lines that linecache knows."""
    if isinstance(error, SyntaxError):
        return InvalidInput(f"invalid syntax: {error.msg}").at(
            _location(error.filename or "", error.lineno or 1)
        )
    import traceback

    known = [
        frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in _LOADED
    ]
    place = _location(known[-1].filename, known[-1].lineno or 1) if known else None
    if isinstance(error, LaminaError):
        return error.at(place)
    text = str(error)
    return InvalidInput(f"{type(error).__name__}{': ' + text if text else ''}").at(place)


def _location(filename: str, line: int) -> Location | None:
    text = "".join(linecache.getlines(filename))
    return Location(filename, line, line, text, language=LANGUAGE)
