"""Mount system calls, in a private mount namespace: all mounts end with the process."""

from __future__ import annotations

import ctypes
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.base.errors import LaminaError, Unsupported, from_os_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MS_NOSUID = 2
MS_NODEV = 4
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MNT_DETACH = 2
CLONE_FS = 0x00000200
CLONE_NEWNS = 0x00020000

_PAGE = 4096
_MAX_LAYERS = 500
_MAX_NAMES = 20_000
_libc = ctypes.CDLL(None, use_errno=True)


def private_namespace() -> None:
    """Move this process into a new mount namespace.

    Call it once, before any thread is started. Later mounts end with the process, however it ends,
    and are not visible elsewhere. What the host unmounts is unmounted here too: otherwise the file
    system would stay in use. Raises PermissionDenied.
    """
    _call("enter a mount namespace", _libc.unshare(CLONE_NEWNS))
    mount("none", "/", "", MS_REC | MS_SLAVE)


def private_tmpfs(target: str) -> None:
    """Mount a tmpfs for root only, which is not swapped out if the kernel supports that.

    Call this in a private mount namespace only.
    """
    flags = MS_NOSUID | MS_NODEV
    try:
        mount("tmpfs", target, "tmpfs", flags, "mode=0700,noswap")
    except LaminaError:  # Linux before 6.4 does not support `noswap`
        mount("tmpfs", target, "tmpfs", flags, "mode=0700")


def mount(source: str, target: str, fstype: str, flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    result = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        fstype.encode() or None,
        ctypes.c_ulong(flags),
        os.fsencode(data) or None,
    )
    _call(f"mount {fstype or source}", result, target)


def unmount(target: str) -> None:
    """Detach what is mounted on `target`. Files that are still open stay usable."""
    _call("unmount", _libc.umount2(os.fsencode(target), MNT_DETACH), target)


class ShortNames:
    """Short links to directories: with 500 layers, the paths in mount options must be short.

    Each is created once; creating them for each mount would take quadratic time over the steps of a
    build. Thread-safe.

    Args:
        folder: the directory of the links, created when first needed. The caller removes it.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._names: dict[str, str] = {}
        self._links = ""
        self._generations = 0

    @contextmanager
    def naming(self, paths: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
        """A directory, and the names of the paths in it, during the block."""
        with self._lock:
            if not self._links or len(self._names) > _MAX_NAMES:
                self._begin()
            yield self._links, [self._names.get(path) or self._add(path) for path in paths]

    def _begin(self) -> None:
        if self._links:
            from lamina.system.removal import discard_tree

            discard_tree(self._links)
        self._names.clear()
        self._generations += 1
        links = os.path.join(self._folder, str(self._generations))
        os.makedirs(links, mode=0o700)
        self._links = links

    def _add(self, path: str) -> str:
        name = f"{len(self._names):x}"
        os.symlink(path, os.path.join(self._links, name))
        self._names[path] = name
        return name


def mount_overlay(
    lowers: Sequence[str],
    upper: str | None,
    work: str | None,
    target: str,
    names: ShortNames,
    more: str = "",
) -> None:
    """Mount overlayfs of `lowers` (uppermost first) and, if writable, `upper` with `work`.

    `more` are further mount options.

    All paths are absolute. The options of mount(2) are limited to a page, so `names` are used for
    many layers: the kernel's limit of 500 layers is reached. Raises Unsupported beyond it.
    """
    options = _overlay_options(lowers, upper, work, more)
    if len(os.fsencode(options)) < _PAGE:
        mount("overlay", target, "overlay", 0, options)
        return
    if len(lowers) > _MAX_LAYERS:
        raise Unsupported(
            f"{len(lowers)} layers are more than overlayfs can stack ({_MAX_LAYERS})",
            hint="merge RUN and COPY instructions, or start from a flattened image",
        )
    with names.naming(lowers) as (folder, short):
        options = _overlay_options(short, upper, work, more)
        _in_folder(folder, lambda: mount("overlay", target, "overlay", 0, options))


def _in_folder(folder: str, work: Callable[[], None]) -> None:
    """Run `work` with a working directory that only its thread has."""
    failure: list[BaseException] = []

    def run() -> None:
        try:
            _call("unshare the working directory", _libc.unshare(CLONE_FS))
            os.chdir(folder)
            work()
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]


@contextmanager
def mounted_overlay(
    lowers: Sequence[str],
    upper: str | None,
    work: str | None,
    target: str,
    names: ShortNames,
    more: str = "",
) -> Iterator[str]:
    """`mount_overlay` during the block."""
    mount_overlay(lowers, upper, work, target, names, more)
    try:
        yield target
    finally:
        unmount(target)


def overlay_works(folder: str, more: str = "") -> bool:
    """Whether overlayfs can be mounted with its upper directory in `folder`.

    `more` are further mount options.
    """
    base = os.path.join(folder, f"probe-{os.urandom(4).hex()}")
    lower, upper, work, merged = (
        os.path.join(base, name) for name in ("lower", "upper", "work", "merged")
    )
    for folder in (lower, upper, work, merged):
        os.makedirs(folder)
    try:
        with mounted_overlay([lower], upper, work, merged, ShortNames(base), more):
            os.close(os.open(os.path.join(merged, "file"), os.O_CREAT | os.O_WRONLY))
        return os.path.exists(os.path.join(upper, "file"))
    except Exception:
        return False
    finally:
        from lamina.system.removal import discard_tree

        discard_tree(base)


def _overlay_options(lowers: Sequence[str], upper: str | None, work: str | None, more: str) -> str:
    def spell(path: str) -> str:
        return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")

    options = "lowerdir=" + ":".join(spell(path) for path in lowers)
    if upper and work:
        options += f",upperdir={spell(upper)},workdir={spell(work)}"
    return f"{options},{more}" if more else options


def _call(doing: str, result: int, target: str | None = None) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise from_os_error(OSError(number, os.strerror(number), target), doing)
