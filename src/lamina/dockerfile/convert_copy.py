"""COPY and ADD to file ops."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from lamina.base.digest import parse_digest
from lamina.base.errors import InvalidInput
from lamina.base.git_url import is_git_url, parse_git_url
from lamina.dockerfile.bases import mark_path
from lamina.dockerfile.expand import Expander
from lamina.dockerfile.file_ops import clean_path, inline_file, inline_path, owner
from lamina.dockerfile.graph import Inputs, Step
from lamina.dockerfile.source_ops import git_source, name_of_url, url_source
from lamina.llb.op import (
    NO_OUTPUT,
    CopyAction,
    FileAction,
    FileOp,
    MergeInput,
    MergeOp,
    Op,
    OpProgressGroup,
)

if TYPE_CHECKING:
    from lamina.dockerfile.checks.steps import StepChecks
    from lamina.dockerfile.convert import Conversion
    from lamina.dockerfile.instruction import Copy
    from lamina.dockerfile.stage import Task
    from lamina.dockerfile.stage_state import StageState

_OCTAL = r"[0-7]{1,12}"
_SYMBOLIC = r"[ugoa]*(?:[-+=][rwxXstugo]*)+(?:,[ugoa]*(?:[-+=][rwxXstugo]*)+)*"


def convert_copy(
    conversion: Conversion, state: StageState, task: Task, copy: Copy, checks: StepChecks
) -> None:
    """Add the step of a COPY or an ADD to a stage. Raises InvalidInput, Unsupported."""
    word = conversion.words(state, checks)
    copy = copy._replace(
        sources=tuple(word(source) for source in copy.sources),
        destination=word(copy.destination),
        chown=word(copy.chown),
        chmod=word(copy.chmod),
        checksum=word(copy.checksum),
    )
    copier = _Copier(conversion, state, task, copy)
    for source in copy.sources:
        if copier.add(source) and not copy.origin:
            checks.context_path(source, conversion.bases.ignored)
    for heredoc in copy.inline:
        content = heredoc.content
        if heredoc.expand:
            inline = Expander(state.env, plain_quotes=True, limit=conversion.limit)
            content = inline.word(content)
            checks.variables(inline.unset)
        copier.add_inline(heredoc.name, content)
    copier.finish()
    conversion.note(state, _history(copy), layer=True)


def _history(copy: Copy) -> str:
    words = [copy.node.keyword]
    if copy.parents:
        words.append("--parents")
    if copy.chown:
        words.append(f"--chown={copy.chown}")
    if copy.chmod:
        words.append(f"--chmod={copy.chmod}")
    words += copy.sources
    words += (f"<<{heredoc.name}" for heredoc in copy.inline)
    return " ".join((*words, copy.destination, "# buildkit"))


class _Copier:
    """Collects the actions of one op, each on the result of the one before."""

    def __init__(self, conversion: Conversion, state: StageState, task: Task, copy: Copy) -> None:
        self._conversion = conversion
        self._state = state
        self._task = task
        self._copy = copy
        self._is_add = copy.node.keyword == "ADD"
        self._destination = _destination(state, copy.destination)
        self._mode, self._mode_text = _mode(copy.chmod)
        self._check_checksum()
        self._shown = conversion.shown(state, copy.node)
        self._name = state.step_name(self._shown, triggered=task.triggered)
        self._sources: list[Step | None] = []
        self._actions: list[CopyAction] = []

    def add(self, source: str) -> bool:
        """Add a source: a path, or for ADD an address. Returns whether it is a path."""
        if is_git_url(source):
            if not self._is_add:
                raise InvalidInput("source can't be a git ref for COPY", hint="use ADD")
            self._add_git(source)
            return False
        if source.startswith(("http://", "https://")):
            if not self._is_add:
                raise InvalidInput("source can't be a URL for COPY", hint="use ADD")
            self._add_url(source)
            return False
        self._add_path(source)
        return True

    def add_inline(self, name: str, content: str) -> None:
        self._append(inline_file(name, content, 0o644), self._action(inline_path(name)))

    def finish(self) -> None:
        """Make the step the stage's tree; for --link, a copy onto scratch and a merge."""
        state, conversion = self._state, self._conversion
        link = self._copy.link and not self._copy.chmod
        base = None if link else state.tree
        name, group = self._name, None
        if link:
            group = OpProgressGroup(f"link-{state.label}-{state.position}", name, weak=True)
        ignore = state.stage.ignore_cache
        tree = Step(
            self._make,
            (base, *self._sources),
            name=name,
            ignore_cache=ignore,
            group=group,
            source=conversion.settings.source,
            location=self._copy.node.location,
        )
        if link and group is not None and state.tree is not None:
            tree = conversion.step(
                Op(merge=MergeOp((MergeInput(0), MergeInput(1)))),
                (state.tree, tree),
                name.replace(self._shown, f"LINK {self._shown}", 1),
                self._task,
                ignore_cache=ignore,
                group=group._replace(weak=False),
            )
        state.tree = tree

    def _make(self, inputs: Inputs) -> Op:
        base = inputs.index(0)
        chown = owner(self._copy.chown, base)
        last = len(self._actions) - 1
        actions = []
        for number, action in enumerate(self._actions):
            actions.append(
                FileAction(
                    input=base if number == 0 else len(inputs) + number - 1,
                    secondary_input=inputs.index(number + 1),
                    output=0 if number == last else NO_OUTPUT,
                    copy=action._replace(owner=chown),
                )
            )
        return Op(file=FileOp(tuple(actions)))

    def _append(self, source: Step | None, action: CopyAction) -> None:
        self._sources.append(source)
        self._actions.append(action)

    def _action(self, source: str) -> CopyAction:
        return CopyAction(
            src=source,
            dest=self._destination,
            mode=self._mode,
            mode_str=self._mode_text,
            create_dest_path=True,
            exclude_patterns=self._copy.excludes,
            timestamp=-1,
        )

    def _add_path(self, source: str) -> None:
        copy, state = self._copy, self._state
        tree: Step | None = self._conversion.bases.build_context
        if copy.origin:
            origin = self._conversion.converted.get(self._task.sources[0])
            if origin is None:
                raise InvalidInput(
                    f'cannot copy from stage "{copy.origin}", it needs to be defined before '
                    f'current stage "{state.label}"',
                    hint="move that stage up",
                )
            tree = origin.tree
            mark_path(origin.needed, source)
        else:
            mark_path(state.context_paths, source)
        path = source
        patterns: tuple[str, ...] = ()
        required: tuple[str, ...] = ()
        if copy.parents:
            path, patterns, required = _with_parents(source)
        action = self._action(_absolute(path))._replace(
            follow_symlink=True,
            dir_copy_contents=True,
            include_patterns=patterns,
            required_paths=required,
            attempt_unpack=self._is_add if copy.unpack is None else copy.unpack,
            allow_wildcard=True,
            allow_empty_wildcard=True,
        )
        self._append(tree, action)

    def _add_url(self, url: str) -> None:
        checksum = self._copy.checksum
        op = url_source(url, str(parse_digest(checksum)) if checksum else "")
        action = self._action(f"/{name_of_url(url)}")._replace(
            attempt_unpack=bool(self._copy.unpack)
        )
        self._append(self._conversion.step(op, (), self._name, self._task), action)

    def _add_git(self, source: str) -> None:
        url = parse_git_url(source)
        copy = self._copy
        op = git_source(url, keep_git_dir=copy.keep_git_dir, checksum=copy.checksum)
        action = self._action("/")
        self._append(self._conversion.step(op, (), self._name, self._task), action)

    def _check_checksum(self) -> None:
        copy = self._copy
        if not copy.checksum:
            return
        if len(copy.sources) != 1 or copy.inline:
            raise InvalidInput("checksum can't be specified for multiple sources")
        source = copy.sources[0]
        if not (source.startswith(("http://", "https://")) or is_git_url(source)):
            raise InvalidInput("checksum requires HTTP(S) or Git sources")


def _with_parents(source: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """`--parents`: the source directory, the pattern below it, and the path that must exist.

    The path is kept from the pivot `/./` on, or whole.
    """
    root, pivot, pattern = source.partition("/./")
    if not pivot:
        root, pattern = "/", source
    pattern = _absolute(pattern)
    wild = _has_wildcard(root) or _has_wildcard(pattern)
    required = () if wild else (posixpath.normpath("/" + root + pattern).replace("//", "/"),)
    return root, (pattern.lstrip("/"),), required


def _has_wildcard(path: str) -> bool:
    return re.search(r"[*?\[]", re.sub(r"\\.", "", path)) is not None


def _absolute(path: str) -> str:
    """A source path from the root of its tree. It cannot leave it."""
    return posixpath.normpath("/" + path.lstrip("/"))


def _destination(state: StageState, path: str) -> str:
    if path.startswith("/"):
        return clean_path(path)
    return clean_path(posixpath.join("/", state.directory, path if path not in ("", ".") else "./"))


def _mode(text: str) -> tuple[int, str]:
    """(the mode, or -1 to keep the source's, or 0 with a symbolic mode; that mode)."""
    if not text:
        return -1, ""
    if re.fullmatch(_OCTAL, text) is not None and int(text, 8) <= 0o7777:
        return int(text, 8), ""
    if re.fullmatch(_SYMBOLIC, text) is None:
        raise InvalidInput(
            f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777",
            hint="write 755, or u=rwX,go=rX",
        )
    return 0, text
