"""Prepares the process: a private mount namespace, and the choice of the snapshotter."""

from __future__ import annotations

import os
from contextlib import suppress

from lamina.base.errors import InvalidInput, LaminaError, Unsupported

_KINDS = ("overlay", "native")


class HostSetup:
    """Whether this process may mount, checked once.

    `overlay` and `tmpfs` are valid after `enter`. `tmpfs` is a directory for secrets and files that
    contain them, on a tmpfs that only this process and its children see.

    Args:
        root: the store's directory.
        snapshotter: `overlayfs`, `native`, or `auto` for the one that works.
    """

    def __init__(self, root: str, snapshotter: str = "auto") -> None:
        self._root = root
        self._wanted = snapshotter
        self.overlay = False
        self.tmpfs = os.path.join(root, "private")

    def enter(self) -> None:
        """Create a private mount namespace and check whether overlayfs works in the store.

        Call it before any thread starts, because a namespace belongs to a thread. Raises
        PermissionDenied; Unsupported or InvalidInput if the snapshotter does not work here.
        """
        from lamina.system import mount

        try:
            mount.private_namespace()
            os.makedirs(self.tmpfs, mode=0o700, exist_ok=True)
            mount.private_tmpfs(self.tmpfs)
        except LaminaError as error:
            raise error.with_context(hint=error.hint or "run lamina as root") from error
        kind = recorded_kind(self._root) or _record_kind(self._root, self._choose())
        self.overlay = kind == "overlay"
        if self._wanted not in ("auto", "overlayfs" if self.overlay else kind):
            raise InvalidInput(
                f"the store {self._root} contains {kind} snapshots, not {self._wanted}",
                hint="use another --root for another snapshotter",
            )

    def _choose(self) -> str:
        from lamina.system import mount

        if self._wanted == "native":
            return "native"
        if mount.overlay_works(os.path.join(self._root, "tmp")):
            return "overlay"
        if self._wanted == "overlayfs":
            raise Unsupported(
                f"overlayfs cannot mount in {self._root}",
                hint="place the store on another file system, or use the native snapshotter",
            )
        return "native"


def recorded_kind(root: str) -> str:
    """Which snapshotter made the snapshots of a store: `overlay` or `native`; "" if the file is
    missing or damaged."""
    try:
        with open(os.path.join(root, "snapshots", ".kind"), encoding="ascii") as file:
            kind = file.read(16)
    except (FileNotFoundError, UnicodeDecodeError):
        return ""
    return kind if kind in _KINDS else ""


def _record_kind(root: str, kind: str) -> str:
    """Record the kind. Returns the kind of another process if it was first."""
    marker = os.path.join(root, "snapshots", ".kind")
    # The file appears with its content: a process that read an empty file would use the other kind.
    part = f"{marker}-{os.urandom(4).hex()}"
    os.makedirs(os.path.dirname(part), mode=0o711, exist_ok=True)
    with open(part, "w", encoding="ascii") as file:
        file.write(kind)
    try:
        os.link(part, marker)
    except FileExistsError:
        if first := recorded_kind(root):
            return first
        os.replace(part, marker)  # the file is damaged
        return kind
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part)
    return kind
