"""Cuts commands and words out of a RUN, and finds those that empty a cache directory."""

from __future__ import annotations

import posixpath
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lamina.advise.advice import Edit
    from lamina.advise.programs import Invocation
    from lamina.advise.shell import ShellCommand, Word
    from lamina.advise.source import Fragment, SourceText
    from lamina.advise.stages import Step

_JOINING = frozenset(("", "&&", ";", "\n"))
_CACHES_ONLY = frozenset(
    (
        *(".cache", "pypoetry", ".npm", ".m2", ".gradle", ".bundle", ".composer", ".yarn"),
        *("apt", "mod", "registry"),
    )
)
"""Names of directories with nothing but caches: removing one means to remove the cache in it."""


def cut_words(command: ShellCommand, words: Iterable[Word], script: Fragment) -> list[Edit]:
    """Remove words of a command, with the white space before them."""
    edits = []
    for word in words:
        at = command.words.index(word)
        if at:
            edits.append(script.removal(command.words[at - 1].end, word.end))
        else:
            edits.append(script.removal(word.start, command.words[1].start))
    return edits


def cut_commands(source: SourceText, found: Sequence[Invocation], step: Step) -> list[Edit] | None:
    """Remove whole commands; None if one of them cannot be cut out of its text."""
    assert step.script is not None and step.invocations is not None
    edits = []
    group: list[ShellCommand] = []
    for other in step.invocations:
        if other in found:
            group.append(other.command)
            continue
        if group:
            edits.append(_cut(source, group, step, step.script))
            group = []
    if group:
        edits.append(_cut(source, group, step, step.script))
    return None if None in edits else [edit for edit in edits if edit is not None]


def _cut(
    source: SourceText, group: list[ShellCommand], step: Step, script: Fragment
) -> Edit | None:
    first, last = group[0], group[-1]
    for command in group:
        if command.nested or command.before not in _JOINING or command.after not in _JOINING:
            return None
    if first.before == "" or (first.before != "&&" and last.after):
        if not last.after:
            return script.removal(first.start, last.end)
        node = step.instruction.node
        return source.cut_before(node, script, first.start, last.end, last.right)
    return script.removal(first.left, last.end)


def rm_paths(found: Invocation, step: Step) -> list[tuple[Word, str]]:
    """The arguments of an `rm` with their absolute paths; patterns stay in them."""
    if found.program not in ("rm", "rmdir"):
        return []
    paths = []
    for word in found.arguments:
        if word.value.startswith("-"):
            continue
        paths.append((word, step.before.path(step.before.expand(word.value))))
    return paths


def clears(path: str, target: str) -> bool | None:
    """Whether removing a path (or pattern) empties a cache directory; None if it removes other
    things as well."""
    if path == target or path.startswith(target + "/"):
        return True
    names, wanted = path.split("/"), target.split("/")
    if len(names) > len(wanted):
        return False
    if not all(fnmatchcase(name, pattern) for pattern, name in zip(names, wanted, strict=False)):
        return False
    above = path if posixpath.basename(path).strip("*") else posixpath.dirname(path)
    name = posixpath.basename(above)
    return True if (name in _CACHES_ONLY or "cache" in name) and above != "/var/cache" else None


class Clearing:
    """The commands of one RUN that empty some directories.

    `unclear` if they cannot be removed from the text, or remove other things as well.
    """

    def __init__(
        self,
        source: SourceText,
        step: Step,
        targets: Sequence[str],
        subcommands: Sequence[tuple[frozenset[str], tuple[tuple[str, ...], ...]]],
    ) -> None:
        self._source = source
        self._step = step
        self.commands: list[Invocation] = []
        self._words: list[tuple[Invocation, Word]] = []
        self.unclear = False
        for found in step.invocations or ():
            values = tuple(word.value for word in found.arguments if word.value != "--yes")
            for programs, clearing in subcommands:
                if found.program in programs and any(_contains(values, c) for c in clearing):
                    self.commands.append(found)
                    break
            else:
                self._read_rm(found, rm_paths(found, step), targets)

    def _read_rm(
        self, found: Invocation, paths: list[tuple[Word, str]], targets: Sequence[str]
    ) -> None:
        emptying = []
        for word, path in paths:
            answers = {clears(path, target) for target in targets}
            if None in answers:
                self.unclear = True
            elif True in answers:
                emptying.append(word)
        if emptying and len(emptying) == len(paths):
            self.commands.append(found)
        else:
            self._words += ((found, word) for word in emptying)

    def __bool__(self) -> bool:
        return bool(self.commands or self._words)

    @property
    def everything(self) -> bool:
        """Whether the step does nothing else."""
        known = self._step.invocations or ()
        return bool(known) and len(self.commands) == len(known) and not self.unclear

    def edits(self) -> list[Edit] | None:
        """Remove them; None if that is not possible."""
        script = self._step.script
        if self.unclear:
            return None
        if not self:
            return []
        if script is None:
            return None
        edits = cut_commands(self._source, self.commands, self._step)
        if edits is None:
            return None
        for found, word in self._words:
            edits += cut_words(found.command, (word,), script)
        return edits


def _contains(values: tuple[str, ...], words: tuple[str, ...]) -> bool:
    """Whether the arguments begin with these words, flags left out unless they are meant."""
    if len(words) > 1 and words[1].startswith("-"):
        return values[:1] == words[:1] and words[1] in values
    return tuple(v for v in values if not v.startswith("-"))[: len(words)] == words
