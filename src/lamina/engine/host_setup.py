"""Where a process builds: a private mount namespace, and the kind of snapshots that work in it."""

from __future__ import annotations

import os

from lamina.base.errors import InvalidInput, LaminaError, Unsupported


class HostSetup:
    """Whether this process may mount, checked once.

    `overlay` and `tmpfs` are valid after `enter`. `tmpfs` is a directory for secrets and files
    that contain them, on a tmpfs that only this process and its children see.

    Args:
        root: the store's folder.
        snapshotter: `overlayfs`, `native`, or `auto` for what works.
    """

    def __init__(self, root: str, snapshotter: str = "auto") -> None:
        self._root = root
        self._wanted = snapshotter
        self.overlay = False
        self.tmpfs = os.path.join(root, "private")

    def enter(self) -> None:
        """Take a private mount namespace and see whether overlayfs works in the store.

        Call it before any thread is started: a namespace is a thread's. Raises PermissionDenied;
        Unsupported or InvalidInput if the wanted snapshotter cannot be had.
        """
        from lamina.system import mount

        try:
            mount.private_namespace()
            os.makedirs(self.tmpfs, mode=0o700, exist_ok=True)
            mount.private_tmpfs(self.tmpfs)
        except LaminaError as error:
            raise error.with_context(hint=error.hint or "run lamina as root") from error
        marker = os.path.join(self._root, "snapshots", ".kind")
        try:
            with open(marker, encoding="ascii") as file:
                kind = file.read()
        except FileNotFoundError:
            kind = self._choose()
            with open(marker, "w", encoding="ascii") as file:
                file.write(kind)
        self.overlay = kind == "overlay"
        if self._wanted not in ("auto", "overlayfs" if self.overlay else kind):
            raise InvalidInput(
                f"the store {self._root} holds {kind} snapshots, not {self._wanted}",
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
