"""Build files and the modules beside them; exceptions get the line in them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

import lamina
from lamina.frontend.module import NAME, GatewayModules, located_error

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    modules, finders = dict(sys.modules), list(sys.meta_path)
    yield
    sys.meta_path[:] = finders
    for name in set(sys.modules) - set(modules):
        del sys.modules[name]


def loaded(files: dict[str, bytes], main: str = "build.py") -> dict[str, object]:
    def read(path: str) -> bytes:
        if path not in files:
            raise lamina.NotFound(path)
        return files[path]

    return GatewayModules(read, main).main()


def test_modules_and_packages_beside_the_file() -> None:
    found = loaded(
        {
            "ci/build.py": b"import json\nfrom helper_x import A\nfrom package_x.inner import B\n",
            "ci/helper_x.py": b"A = 1\n",
            "ci/package_x/__init__.py": b"",
            "ci/package_x/inner.py": b"from .other import C as B\n",
            "ci/package_x/other.py": b"C = 2\n",
        },
        "ci/build.py",
    )
    assert (found["A"], found["B"], found["__name__"]) == (1, 2, NAME)


@pytest.mark.parametrize(
    ("files", "reason", "place"),
    [
        ({"build.py": b"x = 1\ndef f(:\n"}, "invalid syntax", "build.py:2"),
        ({"build.py": b"\n\nx = y\n"}, "NameError: name 'y'", "build.py:3"),
        ({"build.py": b"import missing_x\n"}, "ModuleNotFoundError", "build.py:1"),
        (
            {"build.py": b"import broken_x\n", "broken_x.py": b"\n1 / 0\n"},
            "ZeroDivisionError",
            "broken_x.py:2",
        ),
        ({"build.py": b"import json\njson.loads('')\n"}, "JSONDecodeError", "build.py:2"),
        ({"build.py": b"raise SystemError()\n"}, r"^SystemError", "build.py:1"),
        ({"build.py": b"import sys\nsys.exit(3)\n"}, r"^SystemExit: 3", "build.py:2"),
        ({"build.py": b"raise KeyboardInterrupt\n"}, r"^KeyboardInterrupt", "build.py:1"),
    ],
)
def test_errors_name_the_line(files: dict[str, bytes], reason: str, place: str) -> None:
    with pytest.raises(lamina.InvalidInput, match=reason) as caught:
        loaded(files)
    assert str(caught.value.location) == place
    assert caught.value.location is not None and ">>>" in caught.value.location.excerpt()


def test_files_that_are_missing_or_no_text() -> None:
    with pytest.raises(lamina.NotFound):
        loaded({})
    with pytest.raises(lamina.InvalidInput, match="is not UTF-8"):
        loaded({"build.py": b"\xff"})


def test_an_error_of_lamina_keeps_its_kind() -> None:
    error = lamina.NotFound("gone")
    assert located_error(error) is error or isinstance(located_error(error), lamina.NotFound)
