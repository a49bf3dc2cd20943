"""The fixtures. They last as long as the test session, and builds are cached as ever."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

import pytest

from lamina.builder.builder import connect
from lamina.testing.images import TestedImage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Unpack

    from lamina.builder.builder import Builder
    from lamina.builder.options import BuildOptions
    from lamina.builder.preparing import Context


class BuildImage(Protocol):
    """What the fixture `build_image` returns."""

    def __call__(
        self, context: Context = ".", /, **options: Unpack[BuildOptions]
    ) -> TestedImage: ...


@pytest.fixture(scope="session")
def lamina_builder() -> Iterator[Builder]:
    """A builder on the store `LAMINA_TEST_ROOT`, by default that of the command `lamina`."""
    with connect(root=os.environ.get("LAMINA_TEST_ROOT", "")) as builder:
        yield builder


@pytest.fixture(scope="session")
def build_image(
    lamina_builder: Builder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BuildImage]:
    """Builds an image: `build_image(context, **options)`, with the options of `Builder.build`."""
    made: list[TestedImage] = []

    def build(context: Context = ".", /, **options: Unpack[BuildOptions]) -> TestedImage:
        image = TestedImage(lamina_builder, context, options, tmp_path_factory.mktemp)
        made.append(image)
        return image

    yield build
    for image in made:
        image.close()
