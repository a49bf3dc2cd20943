"""`lamina diff`: compare two images or two builds."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.base.platform import parse_platform
from lamina.cli.interrupt import interruptible
from lamina.records.naming import LATEST

if TYPE_CHECKING:
    from lamina.cli.flags import Parsed

_DIFFERENT = 1
_BUILD, _IMAGE = "build", "image"
_OF_IMAGES = ("history", "ignore-layers", "insecure", "platform", "times")


def run(parsed: Parsed) -> int:
    """Print the differences of two images or two builds. The exit status is that of diff(1): 1 if
    they differ.

    What the names mean depends on their spelling alone: those of builds if `--type` says so, or if
    one of them begins with `^`, which no image's name does.
    """
    kind = parsed.text("type")
    if not kind:
        named = any(name.startswith(LATEST) for name in parsed.arguments)
        kind = _BUILD if named else _IMAGE
    return _compare_builds(parsed) if kind == _BUILD else _compare_images(parsed)


def _compare_builds(parsed: Parsed) -> int:
    for flag in _OF_IMAGES:
        if parsed.given(flag):
            raise InvalidInput(f"--{flag} is for images, not for builds")
    from lamina.cli.opening import open_history
    from lamina.cli.recorded import ended_record
    from lamina.records.build_diff import ComparedBuild, compare_builds
    from lamina.records.build_outputs import outputs_of

    with open_history(parsed) as history:
        rows = history.rows()
        records = [
            ended_record(history, rows, name, "wait for it to end") for name in parsed.arguments
        ]
        before, after = (
            ComparedBuild(record, history.build(record), outputs_of(record, history.blob))
            for record in records
        )
        diff = compare_builds(before, after, history)
    if parsed.text("format") == "json":
        from lamina.cli.build_diff_json import build_diff_json

        print(build_diff_json(diff))
    else:
        from lamina.cli.build_diff_text import build_diff_lines

        for line in build_diff_lines(diff, verbose=parsed.switch("verbose")):
            print(line)
    return 0 if diff.equal else _DIFFERENT


def _compare_images(parsed: Parsed) -> int:
    from lamina.cli.image_locations import ImageFinder
    from lamina.imagediff.compare import compare_images
    from lamina.imagediff.result import Options

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
