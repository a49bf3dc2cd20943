"""The file op: copies, directories, files, links and removals."""

from __future__ import annotations

from binascii import b2a_base64
from typing import TYPE_CHECKING

from lamina.base.digest import digest_of
from lamina.base.gojson import encode
from lamina.llb.gojson import message
from lamina.refs.selection import (
    Selector,
    contains_wildcard,
    distinct_selectors,
)
from lamina.solver.contract import CacheMap, Dependency

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.base.digest import Digest
    from lamina.layers.compression import Compression
    from lamina.llb.op import ChownOpt, FileAction, FileOp
    from lamina.refs.manager import RefManager
    from lamina.refs.ref import Ref
    from lamina.solver.contract import OpContext


class FileOperation:
    """Runs a FileOp. Its sources are keyed by the content that the actions read.

    `packing` returns the compression of the layers, or None if the files of results are wanted.
    """

    def __init__(
        self,
        op: FileOp,
        inputs: int,
        name: str,
        refs: RefManager,
        packing: Callable[[], Compression | None] = lambda: None,
    ) -> None:
        self._op = op
        self._inputs = inputs
        self._name = name
        self._refs = refs
        self._packing = packing
        self._digesters: dict[int, Callable[[Ref], Digest]] = {}

    def cache_map(self, context: OpContext) -> CacheMap:
        selectors: dict[int, list[Selector]] = {}
        bases: set[int] = set()
        parts: list[bytes] = []
        for action in self._op.actions:
            bases.add(action.input)
            for owner in _owners(action):
                for user, path in ((owner.user, "/etc/passwd"), (owner.group, "/etc/group")):
                    if user is not None and user.by_name is not None:
                        selectors.setdefault(user.by_name.input, []).append(
                            Selector(path, follow_links=True)
                        )
            copy = action.copy
            if copy is not None and 0 <= action.secondary_input < self._inputs:
                selectors.setdefault(action.secondary_input, []).append(
                    Selector(
                        copy.src,
                        copy.allow_wildcard and contains_wildcard(copy.src),
                        copy.follow_symlink,
                        copy.include_patterns,
                        copy.exclude_patterns,
                        copy.required_paths,
                    )
                )
                # Its directory does not matter, but the copy can get its name.
                copy = copy._replace(src=_base_name(copy.src))
            done = copy or action.mkdir or action.mkfile or action.symlink or action.rm
            parts.append(encode(message(done)) if done is not None else b"null")
        dependencies = []
        for index in range(self._inputs):
            chosen = selectors.get(index)
            if chosen is None or index in bases:
                dependencies.append(Dependency())
            else:
                paths = [s.path.encode("utf-8", "surrogateescape") for s in chosen]
                selector = str(digest_of(b"\0".join(sorted(paths, reverse=True))))
                self._digesters[index] = self._digester(
                    distinct_selectors(chosen), selector, context
                )
                dependencies.append(Dependency(selector, self._digesters[index]))
        document: dict[str, object] = {
            "Type": "buildkit.file.v0",
            "Actions": [b2a_base64(part, newline=False).decode() for part in parts],
        }
        indexes = [[a.input, a.secondary_input, a.output] for a in self._op.actions]
        if not _is_chain(indexes):
            document["indexes"] = indexes
        return CacheMap(digest_of(encode(document)), tuple(dependencies))

    def execute(self, context: OpContext, inputs: Sequence[Ref]) -> Sequence[Ref]:
        from lamina.ops.file_actions import FileActions
        from lamina.refs.reading import Reading

        if any(ref.local is not None and ref.local.live for ref in inputs):
            from lamina.ops.live_inputs import LiveInputs

            return LiveInputs(context, inputs, self._digesters, self._refs).run(
                lambda reading, refs: FileActions(self._op, self._name, self._refs, reading).run(
                    context, refs
                ),
                None if context.has_users else self._packing(),
            )
        return FileActions(self._op, self._name, self._refs, Reading()).run(context, inputs)

    def _digester(
        self, selectors: list[Selector], name: str, context: OpContext
    ) -> Callable[[Ref], Digest]:
        def digest(ref: Ref) -> Digest:
            return self._refs.digest(ref, selectors, name, context.cancel)

        return digest


def _owners(action: FileAction) -> list[ChownOpt]:
    owners = [part.owner for part in (action.copy, action.mkdir, action.mkfile) if part is not None]
    return [owner for owner in owners if owner is not None]


def _base_name(path: str) -> str:
    """The last part of a path, as Go's `path.Base` returns it."""
    if not path:
        return "."
    return path.rstrip("/").rpartition("/")[2] or "/"


def _is_chain(indexes: list[list[int]]) -> bool:
    """Whether every action applies to the result of the one before, and the last is the output.

    Early keys of BuildKit lacked the inputs and outputs of actions; in this case they still do.
    """
    count = len(indexes)
    return bool(indexes) and all(
        first == (count + index - 1 if index else 0)
        and second in (-1, 1)
        and output == (0 if index == count - 1 else -1)
        for index, (first, second, output) in enumerate(indexes)
    )
