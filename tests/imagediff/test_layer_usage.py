"""What layers add, hide and waste, with an image that a build made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.client.embedded import open_builder
from lamina.imagediff.layer_usage import image_usage
from lamina.system.cancel import Cancellation
from tests.imagediff.memory_image import file, image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Lamina

DOCKERFILE = """
FROM base
RUN mkdir -p /d/sub; head -c 1000 /dev/zero > /d/a; head -c 500 /dev/zero > /d/sub/b; echo x > /k
RUN rm -r /d/sub; head -c 2000 /dev/zero | tr '\\0' 'y' > /d/a
RUN rm -r /d; mkdir /d; head -c 1000 /dev/zero > /d/c; chmod 600 /k
"""


def test_hidden_wasted_and_repeated(context: Callable[..., Path], lamina: Lamina) -> None:
    lamina.build(context(DOCKERFILE), "-t", "sizes")
    cancel = Cancellation()
    with (
        open_builder(str(lamina.root)) as builder,
        builder.open_image("sizes", None, cancel) as opened,
    ):
        usage = image_usage(opened, cancel)
    _, _, first, second, third = usage.layers
    assert (first.files.size, first.hidden, first.wasted) == (1502, 0, 1502)
    assert (second.files.size, second.hidden, second.wasted) == (2000, 1500, 2000)
    assert second.deleted == 1
    assert (third.files.size, third.hidden, third.wasted) == (1002, 2002, 0)
    assert third.repeated == 1002  # the content of /d/a in the first layer, and /k
    assert [(path, layers, size) for path, layers, size in usage.wasted] == [
        ("d/a", (3, 4, 5), 3000),
        ("d/sub/b", (3, 4), 500),
        ("k", (3, 5), 2),
    ]
    assert usage.packages == ()


def test_a_deep_tree_is_hidden() -> None:
    deep = "a/" * 1900 + "f"
    usage = image_usage(image([file(deep, "text")], [file(".wh.a")]), Cancellation())
    assert usage.layers[1].hidden == 4
    assert [(each.path, each.size) for each in usage.wasted] == [(deep, 4)]
