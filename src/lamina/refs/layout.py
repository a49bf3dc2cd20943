"""Makes the files of a plan."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from lamina.layers.stack import make_opaque
from lamina.refs.filehash import GONE, OPEN_FLAGS
from lamina.refs.packing import holds_planned
from lamina.system.clone import clone_bytes
from lamina.system.removal import remove_tree

if TYPE_CHECKING:
    from lamina.refs.plan import FilePlan, PlannedFile
    from lamina.system.cancel import Cancellation
    from lamina.system.file_metadata import FileMetadata

_DEVICES = (stat.S_IFCHR, stat.S_IFBLK)


class Layout:
    """Makes the entries of a plan in a directory: an overlay difference, or a whole tree."""

    def __init__(
        self,
        plan: FilePlan,
        root: str,
        cancel: Cancellation,
        metadata: FileMetadata,
        *,
        overlay: bool,
    ) -> None:
        self._plan = plan
        self._root = root
        self._cancel = cancel
        self._metadata = metadata
        self._overlay = overlay

    def run(self) -> None:
        if not self._overlay:
            for path in (*self._plan.removed, *self._plan.opaque):
                target = self._target(path)
                if os.path.isdir(target) and not os.path.islink(target):
                    remove_tree(target)
                elif os.path.lexists(target):
                    os.unlink(target)
        entries = list(self._plan.in_order())
        for path, planned in entries:
            self._cancel.check()
            self._make(path, planned)
        if self._overlay:
            for path in self._plan.removed:
                os.mknod(self._target(path), stat.S_IFCHR, os.makedev(0, 0))
            for path in self._plan.opaque:
                make_opaque(self._target(path), self._metadata)
        for path, planned in reversed(entries):
            if planned.is_directory:
                times = (planned.mtime_ns, planned.mtime_ns)
                os.utime(self._target(path), ns=times)

    def _make(self, path: str, planned: PlannedFile) -> None:
        target = self._target(path)
        if planned.is_directory:
            if not os.path.isdir(target) or os.path.islink(target):
                if os.path.lexists(target):
                    os.unlink(target)
                os.mkdir(target, 0o700)
            self._set_metadata(target, planned)
            return
        if not self._overlay and os.path.lexists(target):
            os.unlink(target)
        if planned.hard_link:
            self._link(target, planned)
            return
        if stat.S_ISREG(planned.mode):
            self._make_file(target, planned)
            return
        if stat.S_ISLNK(planned.mode):
            os.symlink(planned.link, target)
        elif stat.S_ISSOCK(planned.mode):
            return
        else:
            owner = (planned.uid, planned.gid)
            self._metadata.make_node(target, planned.mode, planned.rdev, owner)
        self._set_metadata(target, planned)
        times = (planned.mtime_ns, planned.mtime_ns)
        os.utime(target, ns=times, follow_symlinks=False)

    def _link(self, target: str, planned: PlannedFile) -> None:
        try:
            os.link(self._target(planned.hard_link), target, follow_symlinks=False)
        except FileNotFoundError:
            if not self._plan.reading.changed:
                raise
            # The file was removed from the client's directory under its first name.

    def _make_file(self, target: str, planned: PlannedFile) -> None:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        writer = os.open(target, flags, 0o600)
        try:
            if planned.data is not None:
                view = memoryview(planned.data)
                while view:
                    view = view[os.write(writer, view) :]
            elif not self._copy(planned, writer, target):
                os.unlink(target)
                return
        finally:
            os.close(writer)
        self._set_metadata(target, planned)
        os.utime(target, ns=(planned.mtime_ns, planned.mtime_ns))

    def _copy(self, planned: PlannedFile, writer: int, target: str) -> bool:
        """Copy the content of a file. False if it does not exist any more, in a client's directory.

        Raises SourceChanged if the plan does not tolerate that.
        """
        try:
            reader = os.open(planned.source, OPEN_FLAGS)
        except OSError as error:
            if not planned.digest or error.errno not in GONE:
                raise
            self._plan.reading.differs(planned.source)
            return False
        try:
            status = os.fstat(reader)
            if planned.digest and not stat.S_ISREG(status.st_mode):
                self._plan.reading.differs(planned.source)
                return False
            clone_bytes(reader, writer)
            if planned.digest and not holds_planned(planned, target, status):
                self._plan.reading.differs(planned.source)
                # A parent may be a link now, which must not lead out of the context.
                return os.readlink(f"/proc/self/fd/{reader}") == planned.source
        finally:
            os.close(reader)
        return True

    def _set_metadata(self, target: str, planned: PlannedFile) -> None:
        if stat.S_IFMT(planned.mode) not in _DEVICES:
            self._metadata.own(target, planned.uid, planned.gid)
        for name, value in planned.xattrs:
            try:
                os.setxattr(target, name, value, follow_symlinks=False)
            except OSError as error:
                if not self._metadata.tolerates(error):
                    raise
        if not stat.S_ISLNK(planned.mode):
            os.chmod(target, stat.S_IMODE(planned.mode))

    def _target(self, path: str) -> str:
        return os.path.join(self._root, path)
