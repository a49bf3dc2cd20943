"""Mounts by descriptor, so that a path that was checked cannot be replaced by a link.

`open_in_root` resolves a path once, with a directory as its root (openat2(2)). `mounted` mounts the
result at a private path (open_tree(2), move_mount(2)), which is then passed to the OCI runtime.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from lamina.base.errors import Unsupported, from_os_error
from lamina.system.mount import MS_PRIVATE, mount, unmount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.system.process import Child

# The numbers are equal on all architectures that lamina runs on.
_OPEN_TREE, _MOVE_MOUNT, _OPENAT2, _MOUNT_SETATTR = 428, 429, 437, 442
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10
_OPEN_TREE_CLONE = 1
_AT_EMPTY_PATH = 0x1000
_AT_FDCWD = -100
_MOVE_MOUNT_F_EMPTY_PATH = 0x04
_MOUNT_ATTR_IDMAP = 0x00100000
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ATTEMPTS = 100

_libc = ctypes.CDLL(None, use_errno=True)


def open_in_root(root: str, path: str) -> int:
    """An O_PATH descriptor of `path`, with `root` as `/`; links are followed inside.

    Raises OSError (ENOENT, ELOOP, …), Unsupported (Linux before 5.6).
    """
    top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _open_in_root(top, path)
    finally:
        os.close(top)


def make_folder_in_root(root: str, path: str) -> int:
    """As `open_in_root`, for a directory, which is created with its parents (mode 755) if
    missing."""
    top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _make_folder(top, [part for part in path.split("/") if part not in ("", ".")])
    finally:
        os.close(top)


@contextmanager
def mounted(fd: int, folder: str, *, owner: tuple[int, int] | None = None) -> Iterator[str]:
    """Mount the file of a descriptor in `folder`, during the block. Yields its path there.

    Mounts below it are not included, nor later ones.

    Args:
        owner: the (uid, gid) whose files are shown as root's; other files are shown as nobody's.

    Raises Unsupported if the file system or the kernel does not support idmapped mounts.
    """
    path = os.path.join(folder, f"m-{os.urandom(8).hex()}")
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        os.mkdir(path, 0o700)
    else:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    try:
        _mount(fd, path, owner)
        try:
            yield path
        finally:
            unmount(path)
    finally:
        with suppress(OSError):
            if os.path.isdir(path):
                os.rmdir(path)
            else:
                os.unlink(path)


def mounts_below(path: str) -> bool:
    """Whether there are mounts below a directory."""
    prefix = os.path.realpath(path).rstrip("/") + "/"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        points = (line.split(" ", 5)[4] for line in file)
        return any(_unescape(point).startswith(prefix) for point in points)


def supports_mount_setattr() -> bool:
    """Whether trees of mounts can be made read-only (Linux 5.12)."""
    _libc.syscall(_MOUNT_SETATTR, -1, b"", 0, None, ctypes.c_size_t(0))
    return ctypes.get_errno() != errno.ENOSYS


def _open_in_root(top: int, path: str) -> int:
    how = struct.pack(
        "=QQQ", os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS
    )
    for _ in range(_ATTEMPTS):
        fd: int = _libc.syscall(
            _OPENAT2, top, os.fsencode(path or "."), how, ctypes.c_size_t(len(how))
        )
        if fd >= 0:
            return fd
        number = ctypes.get_errno()
        if number == errno.ENOSYS:
            raise Unsupported(
                "this kernel cannot open paths beneath a directory (openat2)",
                hint="use Linux 5.6 or a later version",
            )
        # EAGAIN: something above was renamed while `..` was followed.
        if number != errno.EAGAIN:
            raise OSError(number, os.strerror(number), path)
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), path)


def _make_folder(top: int, parts: list[str]) -> int:
    depth = len(parts)
    while True:
        try:
            fd = _open_in_root(top, "/".join(parts[:depth]))
            break
        except FileNotFoundError:
            if not depth:
                raise
            depth -= 1
    while depth < len(parts):
        try:
            _make_one(fd, parts[depth])
        finally:
            os.close(fd)
        depth += 1
        fd = _open_in_root(top, "/".join(parts[:depth]))
    return fd


def _make_one(above: int, name: str) -> None:
    folder = os.open(f"/proc/self/fd/{above}", _DIRECTORY & ~os.O_NOFOLLOW)
    try:
        with suppress(FileExistsError):
            os.mkdir(name, 0o755, dir_fd=folder)
            made = os.open(name, _DIRECTORY, dir_fd=folder)
            try:
                os.fchmod(made, 0o755)
            finally:
                os.close(made)
    finally:
        os.close(folder)


def _mount(fd: int, target: str, owner: tuple[int, int] | None) -> None:
    flags = _AT_EMPTY_PATH | _OPEN_TREE_CLONE | os.O_CLOEXEC
    tree = _check("copy a mount", _libc.syscall(_OPEN_TREE, fd, b"", flags))
    try:
        if owner is not None:
            _show_as_root(tree, owner)
        _check(
            "move a mount",
            _libc.syscall(
                _MOVE_MOUNT,
                tree,
                b"",
                _AT_FDCWD,
                os.fsencode(target),
                _MOVE_MOUNT_F_EMPTY_PATH,
            ),
        )
    finally:
        os.close(tree)
    try:
        mount("none", target, "", MS_PRIVATE)
    except BaseException:
        unmount(target)
        raise


def _show_as_root(tree: int, owner: tuple[int, int]) -> None:
    """Map the files of an owner to root (an idmapped mount, mount_setattr(2))."""
    namespace = _user_namespace(owner)
    try:
        # attr_set, attr_clr, propagation, userns_fd
        attributes = struct.pack("=QQQQ", _MOUNT_ATTR_IDMAP, 0, 0, namespace)
        result = _libc.syscall(
            _MOUNT_SETATTR,
            tree,
            b"",
            _AT_EMPTY_PATH,
            attributes,
            ctypes.c_size_t(len(attributes)),
        )
        if result != 0:
            number = ctypes.get_errno()
            raise Unsupported(f"cannot map owners of files here: {os.strerror(number)}")
    finally:
        os.close(namespace)


def _user_namespace(owner: tuple[int, int]) -> int:
    """A descriptor of a user namespace that maps `owner` to root."""
    from lamina.system.process import spawn

    null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    in_read, in_write = os.pipe2(os.O_CLOEXEC)
    out_read, out_write = os.pipe2(os.O_CLOEXEC)
    try:
        command = ["unshare", "--user", "--", "sh", "-c", "echo; read -r _"]
        with spawn(command, stdin=in_read, stdout=out_write, stderr=null) as child:
            os.close(out_write)
            out_write = -1
            return _mapped_namespace(child, out_read, owner)
    finally:
        for fd in (null, in_read, in_write, out_read, out_write):
            if fd >= 0:
                os.close(fd)


def _mapped_namespace(child: Child, ready: int, owner: tuple[int, int]) -> int:
    if not os.read(ready, 1):
        raise Unsupported("this machine does not allow user namespaces")
    try:
        for kind, number in zip(("uid", "gid"), owner, strict=True):
            with open(f"/proc/{child.pid}/{kind}_map", "w", encoding="ascii") as file:
                file.write(f"{number} 0 1\n")
        return os.open(f"/proc/{child.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Unsupported(f"cannot map owners of files here: {error.strerror}") from error


def _unescape(point: str) -> str:
    if "\\" not in point:
        return point
    for code, text in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(code, text)
    return point


def _check(doing: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise from_os_error(OSError(number, os.strerror(number)), doing)
    return result
