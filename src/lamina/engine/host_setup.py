"""Prepares the process: user namespace, mount namespace, and the choice of the snapshotter."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, LaminaError, Unsupported
from lamina.base.named_tuple import NamedTuple
from lamina.system.file_metadata import KERNEL_METADATA, OverriddenMetadata

if TYPE_CHECKING:
    from lamina.system.file_metadata import FileMetadata
    from lamina.system.user_namespace import IdMap

_KINDS = ("overlay", "native")
_KIND = ".kind"
_IDS = ".ids"


class Host(NamedTuple):
    """What this process may do on this machine.

    `overlay` says whether overlayfs works in the store. `tmpfs` is a directory for secrets and
    files that contain them, on a tmpfs that only this process and its children see. `ids` are those
    of the user namespace, None for all. `metadata` is how the files of the store have their
    metadata. `warnings` say what is limited.
    """

    overlay: bool
    tmpfs: str
    ids: IdMap | None
    metadata: FileMetadata
    warnings: tuple[str, ...] = ()


class HostSetup:
    """Prepares this process for one store.

    Args:
        root: the store's directory.
        privileges: the result of `enter_user_namespace`.
        snapshotter: `overlayfs`, `native`, or `auto` for the one that works.
    """

    def __init__(self, root: str, privileges: Privileges, snapshotter: str = "auto") -> None:
        self._root = root
        self._privileges = privileges
        self._wanted = snapshotter
        self._tmpfs = os.path.join(root, "private")

    def enter(self) -> Host:
        """Enter a private mount namespace, and choose the snapshotter.

        Call it before any thread starts, because a namespace belongs to a thread. Raises
        PermissionDenied; Unsupported or InvalidInput if the snapshotter does not work here.
        """
        from lamina.system import mount

        ids, metadata, warnings = self._privileges
        try:
            mount.private_namespace()
            os.makedirs(self._tmpfs, mode=0o700, exist_ok=True)
            mount.private_tmpfs(self._tmpfs)
        except LaminaError as error:
            raise _explained(error, ids) from error
        kind = recorded_kind(self._root)
        if not kind:
            kind = _record(self._root, _KIND, self._choose(metadata))
        overlay = kind == "overlay"
        if self._wanted not in ("auto", "overlayfs" if overlay else kind):
            raise InvalidInput(
                f"the store {self._root} contains {kind} snapshots, not {self._wanted}",
                hint="use another --root for another snapshotter",
            )
        return Host(overlay, self._tmpfs, ids, metadata, warnings)

    def _choose(self, metadata: FileMetadata) -> str:
        from lamina.system import mount

        if self._wanted == "native":
            return "native"
        if mount.overlay_works(os.path.join(self._root, "tmp"), metadata.overlay_options):
            return "overlay"
        if self._wanted == "overlayfs":
            raise Unsupported(
                f"overlayfs cannot mount in {self._root}",
                hint="place the store on another file system, or use the native snapshotter",
            )
        return "native"


class Privileges(NamedTuple):
    """What the user namespace of this process permits; see `Host`."""

    ids: IdMap | None
    metadata: FileMetadata
    warnings: tuple[str, ...]


def enter_user_namespace(root: str) -> Privileges:
    """Enter a user namespace if this process cannot mount. For what reads or removes snapshots.

    Call it before any thread starts. Raises PermissionDenied, Unsupported; InvalidInput if the
    files of the store were made with other IDs.
    """
    from lamina.system import user_namespace

    warnings: tuple[str, ...] = ()
    if not user_namespace.is_privileged():
        from lamina.stores.store import remove_dead

        limits = user_namespace.enter()
        # Only now may it remove files of other IDs, which a killed process left.
        remove_dead(os.path.join(root, "tmp"))
        if limits:
            warnings = (
                f"all files of the build belong to one user: {limits}. `chown` to others and"
                " `USER` fail in steps; see the page on rootless builds",
            )
    ids = user_namespace.current_ids()
    if _check_ids(root, ids):
        warnings = ()  # an earlier build has shown them
    metadata = KERNEL_METADATA if ids is None else OverriddenMetadata(ids)
    return Privileges(ids, metadata, warnings)


def _check_ids(root: str, ids: IdMap | None) -> bool:
    """Compare the IDs with those that the files of the store were made with, if there are any.

    Returns whether they were recorded. Raises InvalidInput.
    """
    mine = "all" if ids is None else str(ids)
    recorded = _recorded(root, _IDS)
    known = recorded or _record(root, _IDS, mine)
    if known != mine:
        raise InvalidInput(
            f"the files of the store {root} were made with other user and group IDs ({known}) than"
            f" this process has ({mine})",
            hint="restore the ranges in /etc/subuid and /etc/subgid, or use another --root",
        )
    return bool(recorded)


def _explained(error: LaminaError, ids: IdMap | None) -> LaminaError:
    """An error of the first mount, with what prevents it."""
    from lamina.system.user_namespace import refusal

    reason, hint = refusal(error)
    if ids is None or reason == error.reason:
        return error.with_context(hint=error.hint or "run lamina as root")
    return error.with_context(reason=f"{error.reason}: {reason}", hint=hint)


def recorded_kind(root: str) -> str:
    """Which snapshotter made the snapshots of a store: `overlay` or `native`; "" if the file is
    missing or damaged."""
    return _recorded(root, _KIND)


def _recorded(root: str, name: str) -> str:
    """A recorded property of the store's snapshots; "" if the file is missing or damaged."""
    try:
        with open(os.path.join(root, "snapshots", name), encoding="ascii") as file:
            text = file.read(1 << 14)
    except (FileNotFoundError, UnicodeDecodeError):
        return ""
    return "" if name == _KIND and text not in _KINDS else text


def _record(root: str, name: str, text: str) -> str:
    """Record a property of the store's snapshots. Returns that of another process if it was
    first."""
    marker = os.path.join(root, "snapshots", name)
    # The file appears with its content: a process that read an empty file would use another value.
    part = f"{marker}-{os.urandom(4).hex()}"
    os.makedirs(os.path.dirname(part), mode=0o711, exist_ok=True)
    with open(part, "w", encoding="ascii") as file:
        file.write(text)
    try:
        os.link(part, marker)
    except FileExistsError:
        if first := _recorded(root, name):
            return first
        os.replace(part, marker)  # the file is damaged
        return text
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part)
    return text
