"""The locations of targets' contexts and Dockerfiles."""

from __future__ import annotations

import os
import posixpath
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.base.git_url import is_git_context

if TYPE_CHECKING:
    from lamina.bake.target import Target

WORKING_DIRECTORY = "cwd://"
"""The prefix of a path in the directory where bake runs, for definitions from elsewhere."""


ELSEWHERE = ("target:", "docker-image:", "oci-layout://")
"""Prefixes of contexts that are no path."""


def is_remote(context: str) -> bool:
    """Whether a context is a repository or a URL."""
    return context.startswith(("http://", "https://")) or is_git_context(context)


def located(target: Target, definition: str = "") -> Target:
    """The target with the context as the build takes it. Raises InvalidInput.

    Args:
        definition: the repository that the bake file is in; contexts are relative to it.
    """
    context = target.context or "."
    if definition:
        contexts = (
            (name, _within(definition, value or "")) for name, value in target.contexts or ()
        )
        target = target._replace(contexts=tuple(contexts) or None)
        context = _within(definition, context)
    if context == "-" or target.dockerfile == "-":
        what = "context" if context == "-" else "Dockerfile"
        raise InvalidInput(f'target "{target.name}": bake reads no {what} from standard input')
    return target._replace(context=local_path(context))


def _within(definition: str, context: str) -> str:
    """A context of a definition in a repository: a directory there, unless it says otherwise."""
    if is_remote(context) or context.startswith((WORKING_DIRECTORY, *ELSEWHERE)):
        return context
    directory = posixpath.normpath(posixpath.join("/", context)).lstrip("/")
    base, _, fragment = definition.partition("#")
    ref, _, outer = fragment.partition(":")
    inner = posixpath.normpath(posixpath.join(outer, directory)) if directory else outer
    return f"{base}#{ref}:{inner}" if directory else definition


def local_path(context: str) -> str:
    """A path without `cwd://` and superfluous parts; remote contexts stay as they are."""
    if is_remote(context):
        return context
    return posixpath.normpath(context.removeprefix(WORKING_DIRECTORY) or ".")


def dockerfile_path(target: Target) -> str:
    """The Dockerfile of a target, as `--file` of a build takes it."""
    name = target.dockerfile or "Dockerfile"
    if name.startswith(WORKING_DIRECTORY):
        return os.path.abspath(name.removeprefix(WORKING_DIRECTORY))
    name = name if is_remote(name) else posixpath.normpath(name)
    context = target.context or "."
    if is_remote(context) or is_remote(name) or os.path.isabs(name):
        return name
    return posixpath.join(context, name)
