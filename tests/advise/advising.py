"""Gives advice on texts, for the tests of each kind of advice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.advise.advice import Kind
from lamina.advise.advisor import Request, advise, improve
from lamina.advise.context_files import ContextFiles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.advise.advice import Advice
    from lamina.advise.times import StepTimes


def request(files: Mapping[str, str] | None = None, *kinds: Kind, target: str = "") -> Request:
    """A request for a context with these files."""
    texts = dict(files or {})
    sizes = {name: len(text) for name, text in texts.items()}
    context = ContextFiles(sizes, texts=texts)
    return Request("Dockerfile", context, target, kinds=kinds or tuple(Kind))


def items(
    text: str,
    files: Mapping[str, str] | None = None,
    *kinds: Kind,
    times: StepTimes | None = None,
) -> list[Advice]:
    """The advice on a Dockerfile, of all `kinds` or some."""
    asked = request(files, *kinds)
    return advise(text, asked if times is None else asked._replace(times=times))


def improved(text: str, files: Mapping[str, str] | None = None, *kinds: Kind) -> str:
    """A Dockerfile with the advice applied."""
    return improve(text, request(files, *kinds)).dockerfile


def mounts(text: str, files: Mapping[str, str] | None = None) -> str:
    """A Dockerfile with advice on cache mounts applied."""
    return improved(text, files, Kind.CACHE_MOUNT)
