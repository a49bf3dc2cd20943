"""`lamina diff`: compare two images."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from lamina.base.platform import parse_platform
from lamina.cli.image_locations import ImageFinder
from lamina.cli.interrupt import interruptible
from lamina.imagediff.compare import compare_images
from lamina.imagediff.result import Options

if TYPE_CHECKING:
    from lamina.cli.flags import Parsed

_DIFFERENT = 1


def run(parsed: Parsed) -> int:
    """Print the differences of two images. The exit status is that of diff(1): 1 if they differ."""
    platform = parse_platform(parsed.text("platform")) if parsed.given("platform") else None
    options = Options(
        times=parsed.switch("times"),
        history=parsed.switch("history"),
        layers=not parsed.switch("ignore-layers"),
    )
    with ExitStack() as stack:
        finder = ImageFinder(parsed, platform, stack)
        finder.prepare(parsed.arguments)
        cancel = stack.enter_context(interruptible()).cancel
        before, after = (finder.find(name, cancel) for name in parsed.arguments)
        diff = compare_images(before, after, options, cancel)
    if parsed.text("format") == "json":
        from lamina.cli.image_diff_json import image_diff_json

        print(image_diff_json(diff))
    else:
        from lamina.cli.image_diff_text import image_diff_lines

        for line in image_diff_lines(diff, verbose=parsed.switch("verbose")):
            print(line)
    return 0 if diff.equal else _DIFFERENT
