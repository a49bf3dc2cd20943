"""The definition and the targets that a command line of `lamina bake` means."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from lamina.bake.definition import Definition, environment_allowed
from lamina.bake.files import names_from_environment, parse_variables, read_files
from lamina.bake.locations import WORKING_DIRECTORY, located
from lamina.bake.options.entries import attest_flag
from lamina.bake.overrides import Overrides, parse_overrides
from lamina.bake.reading import read_definition
from lamina.bake.selection import Selection, select
from lamina.bake.target import sorted_pairs
from lamina.base.git_url import is_git_context
from lamina.base.platform import host_platform
from lamina.cli.bake_remote import read_remote, split_arguments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamina.bake.hcl.syntax import Source
    from lamina.bake.target import Target
    from lamina.cli.bake_remote import BakeArguments
    from lamina.cli.flags import Parsed

_EPOCH = "SOURCE_DATE_EPOCH"


def definition_of(parsed: Parsed) -> Definition:
    """Read the bake files. Raises InvalidInput, NotFound, PermissionDenied."""
    variables = parse_variables(parsed.all("var"))
    return read_bake_files(split_arguments(parsed.arguments), parsed.all("file"), variables)


def read_bake_files(
    arguments: BakeArguments, files: Sequence[str], variables: Mapping[str, str]
) -> Definition:
    """Read bake files: `files`, or those of BUILDX_BAKE_FILE, or those with a default name.

    Raises InvalidInput, NotFound, PermissionDenied.
    """
    names = list(files) or names_from_environment(os.environ)
    built_in = {
        "BAKE_CMD_CONTEXT": arguments.context,
        "BAKE_LOCAL_PLATFORM": str(host_platform()),
    }
    return read_definition(_sources(arguments.definition, names), built_in, variables)


def _sources(definition: str, names: list[str]) -> list[Source]:
    """Files here, or in a repository; `cwd://` are here in any case."""
    if not definition:
        here = [name.removeprefix(WORKING_DIRECTORY) for name in names]
        return read_files(here, sys.stdin.buffer)
    found = []
    there = [name for name in names if not name.startswith(WORKING_DIRECTORY)]
    if there or not names:
        found = read_remote(definition, there)
    here = [name.removeprefix(WORKING_DIRECTORY) for name in names if name not in there]
    return found + (read_files(here, sys.stdin.buffer) if here else [])


def overrides_of(parsed: Parsed, definition: Definition, call: str) -> Overrides:
    """`--set` and what other flags override; `call` is the method of `--call`, "" for a build.

    Raises InvalidInput, NotFound.
    """
    environ = environment_allowed(os.environ)
    return parse_overrides(definition, _all_overrides(parsed, call), environ)


def selection_of(parsed: Parsed, definition: Definition, overrides: Overrides) -> Selection:
    """Resolve the requested targets. Raises InvalidInput, NotFound."""
    return select_targets(split_arguments(parsed.arguments), definition, overrides)


def select_targets(
    arguments: BakeArguments, definition: Definition, overrides: Overrides
) -> Selection:
    """Resolve the targets that arguments name. Raises InvalidInput, NotFound."""
    selection = select(definition, arguments.targets, overrides)
    base = arguments.definition if is_git_context(arguments.definition) else ""
    targets = {name: located(_dated(target), base) for name, target in selection.targets.items()}
    return selection._replace(targets=targets)


def _all_overrides(parsed: Parsed, call: str) -> list[str]:
    """`--set`, and the equivalents of the other flags."""
    found = list(parsed.all("set"))
    found += ["*.push=true"] if parsed.switch("push") else []
    found += ["*.load=true"] if parsed.switch("load") else []
    found += [f"*.call={call}"] if call else []
    for name in ("no-cache", "pull"):
        if parsed.given(name):
            found.append(f"*.{name}={'true' if parsed.switch(name) else 'false'}")
    for kind in ("sbom", "provenance"):
        if text := parsed.text(kind):
            found.append(f"*.attest={attest_flag(kind, text)}")
    return found


def _dated(target: Target) -> Target:
    """With SOURCE_DATE_EPOCH of the environment as an argument, unless it has one."""
    epoch = os.environ.get(_EPOCH, "")
    arguments = dict(target.args or ())
    if not epoch or _EPOCH in arguments:
        return target
    return target._replace(args=sorted_pairs({**arguments, _EPOCH: epoch}))
