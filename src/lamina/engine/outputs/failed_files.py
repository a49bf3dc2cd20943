"""The files that a failed step left, for outputs that are written when a build fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.digest import digest_of
from lamina.llb.codec import decode_op
from lamina.llb.op import NO_INPUT, CopyAction, FileAction, FileOp
from lamina.refs.ref import Ref

if TYPE_CHECKING:
    from lamina.base.digest import Digest
    from lamina.base.errors import FailedStep
    from lamina.base.events import Event, EventSink
    from lamina.refs.manager import RefManager
    from lamina.system.cancel import Cancellation


def failed_files(step: FailedStep) -> Ref | None:
    """The root of a failed command, or what the actions of a failed file operation had made.

    None if the step left nothing.
    """
    op = decode_op(step.data)
    index = step.action
    if op.exec is not None:
        roots = [i for i, mount in enumerate(op.exec.mounts) if mount.dest == "/"]
        index = roots[0] if roots else None
    if index is None or index >= len(step.mounts):
        return None
    found = step.mounts[index]
    return found if isinstance(found, Ref) else None


def files_below(
    ref: Ref, path: str, refs: RefManager, events: EventSink, cancel: Cancellation
) -> Ref:
    """The content of a directory, or a file, as a file system. `path` may have wildcards.

    Raises NotFound.
    """
    from lamina.ops.file_actions import FileActions
    from lamina.refs.reading import Reading

    copy = CopyAction(
        path,
        "/",
        mode=-1,
        follow_symlink=True,
        dir_copy_contents=True,
        create_dest_path=True,
        allow_wildcard=True,
        timestamp=-1,
    )
    op = FileOp((FileAction(NO_INPUT, 0, 0, copy=copy),))
    actions = FileActions(op, f"{path} of a failed step", refs, Reading())
    (found,) = actions.run(_Extraction(events, cancel), [ref])
    return found


class _Extraction:
    """The `OpContext` of a copy that is no step."""

    has_users = False

    def __init__(self, events: EventSink, cancel: Cancellation) -> None:
        self._events = events
        self.cancel = cancel
        self.digest: Digest = digest_of(b"files of a failed step")

    def emit(self, event: Event) -> None:
        self._events(event)

    def revise(self, index: int, content: Digest | None) -> None:
        return
