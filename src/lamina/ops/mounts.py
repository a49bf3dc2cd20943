"""The mounts of an exec op: refs, cache mounts, secrets, SSH agents, tmpfs."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol

from lamina.base.errors import InvalidInput, NotFound, from_os_error
from lamina.base.named_tuple import NamedTuple
from lamina.llb.op import NO_INPUT, NO_OUTPUT, CacheSharing, MountType
from lamina.refs.ref import Ref

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from lamina.llb.op import ExecOp, Mount
    from lamina.refs.manager import RefManager
    from lamina.runtime.contract import BindMount, TmpfsMount
    from lamina.session.contract import Session
    from lamina.stores.cache_mounts import CacheMountStore, MountOrigin, Seed
    from lamina.stores.snapshots import Staged
    from lamina.system.cancel import Cancellation


class Change(NamedTuple):
    """A writable mount: its index among those of the op, its path, the output for the changes (or
    NO_OUTPUT), and the parent."""

    mount: int
    dest: str
    output: int
    staged: Staged
    parent: Ref


class Prepared(NamedTuple):
    """The mounts of a step, during the block of `prepare`.

    `sources` are the paths on the host of the op's mounts, in its order: "" for a tmpfs, and for a
    secret or an agent that no client provides.
    """

    rootfs: str
    readonly: bool
    mounts: tuple[BindMount | TmpfsMount, ...]
    changes: tuple[Change, ...]
    sources: tuple[str, ...] = ()


class Restore(Protocol):
    """Fills the empty directory of a cache mount. Returns where the content is from, if any."""

    def __call__(self, name: str, folder: str, cancel: Cancellation, /) -> MountOrigin | None: ...


class MountTable:
    """Prepares the mounts of execs.

    Args:
        scratch: a directory of a private tmpfs, for secrets and mount points.
        restore: fills a new cache mount from an imported cache.
    """

    def __init__(
        self,
        refs: RefManager,
        caches: CacheMountStore,
        session: Session,
        scratch: str,
        restore: Restore | None = None,
    ) -> None:
        self._refs = refs
        self._caches = caches
        self._session = session
        self._scratch = scratch
        self._restore = restore

    @contextmanager
    def prepare(
        self, op: ExecOp, inputs: Sequence[Ref], cancel: Cancellation
    ) -> Iterator[Prepared]:
        """Make all mounts of an exec. The staged directories outlive the block."""
        from lamina.runtime.contract import BindMount, TmpfsMount

        with ExitStack() as stack:
            changes: list[Change] = []
            mounts: list[BindMount | TmpfsMount] = []
            rootfs = ""
            readonly = False
            sources = [""] * len(op.mounts)
            folders = self._cache_folders(op, inputs, stack, cancel)
            cwd = op.meta.cwd if op.meta is not None else ""
            placed = [mount._replace(dest=_target(mount, cwd)) for mount in op.mounts]
            for index, mount in sorted(
                enumerate(placed), key=lambda item: (item[1].dest.count("/"), item[0])
            ):
                if mount.dest == "/":
                    rootfs = self._bind(index, mount, inputs, stack, changes, cancel)
                    sources[index] = rootfs
                    readonly = mount.readonly
                    continue
                bound: BindMount | None = None
                match mount.mount_type:
                    case MountType.BIND:
                        source = self._bind(index, mount, inputs, stack, changes, cancel)
                        bound = BindMount(source, mount.dest, mount.readonly)
                    case MountType.CACHE:
                        source = self._part(folders[index], mount.selector, stack, make=True)
                        bound = BindMount(source, mount.dest, mount.readonly)
                    case MountType.TMPFS:
                        mounts.append(
                            TmpfsMount(
                                mount.dest,
                                mount.tmpfs.size if mount.tmpfs else 0,
                                mount.readonly,
                            )
                        )
                    case MountType.SECRET:
                        bound = self._secret(mount, stack, cancel)
                    case MountType.SSH:
                        bound = self._ssh(mount, stack, cancel)
                if bound is not None:
                    mounts.append(bound)
                    sources[index] = bound.source
            if not rootfs:
                raise InvalidInput("an exec without a root mount")
            yield Prepared(rootfs, readonly, tuple(mounts), tuple(changes), tuple(sources))

    def _bind(
        self,
        index: int,
        mount: Mount,
        inputs: Sequence[Ref],
        stack: ExitStack,
        changes: list[Change],
        cancel: Cancellation,
    ) -> str:
        ref = inputs[mount.input] if mount.input != NO_INPUT else Ref()
        if mount.readonly and ref.local is not None:
            from lamina.ops.context_bind import shown

            return stack.enter_context(
                shown(self._refs, ref, mount.selector, self._scratch, cancel)
            )
        if mount.readonly:
            path = self._refs.bindable(ref, cancel).root
        else:
            ref = self._refs.owned(ref, cancel)
            path, staged = stack.enter_context(self._refs.writable(ref, cancel))
            changes.append(Change(index, mount.dest, mount.output, staged, ref))
        return self._part(path, mount.selector, stack)

    def _part(self, root: str, selector: str, stack: ExitStack, *, make: bool = False) -> str:
        """Mount what is at `selector` of a directory at a path that no step can change.

        Args:
            make: create a directory there if it is missing.

        Raises NotFound.
        """
        if not selector.strip("/"):
            return root
        from lamina.system.mount_tree import make_folder_in_root, mounted, open_in_root

        try:
            fd = (make_folder_in_root if make else open_in_root)(root, selector)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                raise NotFound(f'"/{selector.strip("/")}": not found') from error
            raise from_os_error(error, f"open the mount's source {selector}") from error
        stack.callback(os.close, fd)
        return stack.enter_context(mounted(fd, self._scratch))

    def _cache_folders(
        self, op: ExecOp, inputs: Sequence[Ref], stack: ExitStack, cancel: Cancellation
    ) -> dict[int, str]:
        """The directories of the op's cache mounts, by index.

        Locks are taken in a fixed order: else two steps with the same two caches could deadlock. A
        cache that is mounted at two paths is locked once: else the step would wait for itself.
        """
        caches = [(i, m) for i, m in enumerate(op.mounts) if m.mount_type is MountType.CACHE]
        held: dict[str, str] = {}
        folders: dict[int, str] = {}
        for index, mount in sorted(caches, key=lambda item: _lock_order(item[1])):
            ref = inputs[mount.input] if mount.input != NO_INPUT else Ref()
            name = _cache_name(mount)
            mount_id = name if ref.snapshot is None else f"{name}:{ref.snapshot}"
            if mount_id not in held:
                context = self._cache(mount_id, mount, ref, cancel)
                held[mount_id] = stack.enter_context(context)
            folders[index] = held[mount_id]
        return folders

    def _cache(
        self, mount_id: str, mount: Mount, ref: Ref, cancel: Cancellation
    ) -> AbstractContextManager[str]:
        assert mount.cache is not None
        seed = self._seeder(_cache_name(mount), ref, cancel)
        match mount.cache.sharing:
            case CacheSharing.SHARED:
                return self._caches.shared(mount_id, seed)
            case CacheSharing.PRIVATE:
                return self._caches.private(mount_id, seed)
            case CacheSharing.LOCKED:
                return self._caches.locked(mount_id, seed, cancel)

    def _seeder(self, name: str, ref: Ref, cancel: Cancellation) -> Seed:
        def seed(folder: str) -> MountOrigin | None:
            origin = self._restore(name, folder, cancel) if self._restore is not None else None
            if origin is not None or (ref.snapshot is None and ref.local is None):
                return origin
            from lamina.system.clone import clone_tree

            os.rmdir(folder)
            clone_tree(self._refs.bindable(ref, cancel).root, folder)
            return None

        return seed

    def _secret(self, mount: Mount, stack: ExitStack, cancel: Cancellation) -> BindMount | None:
        from lamina.runtime.contract import BindMount

        secret = mount.secret
        assert secret is not None
        value = self._session.secret(secret.id, cancel)
        if value is None:
            if secret.optional:
                return None
            raise NotFound(
                f"secret {secret.id}: not found",
                hint=secret_hint(secret.id),
            )
        path = os.path.join(self._scratch, os.urandom(8).hex())
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o400)
        stack.callback(os.unlink, path)
        try:
            with open(fd, "wb", closefd=False) as file:
                file.write(value)
            os.fchown(fd, *self._refs.metadata.nearest(secret.uid, secret.gid))
            os.fchmod(fd, stat.S_IMODE(secret.mode))
        finally:
            os.close(fd)
        return BindMount(path, mount.dest, readonly=True)

    def _ssh(self, mount: Mount, stack: ExitStack, cancel: Cancellation) -> BindMount | None:
        from lamina.runtime.contract import BindMount

        ssh = mount.ssh
        assert ssh is not None
        socket = self._session.ssh_socket(ssh.id or "default", cancel)
        if socket is None:
            if ssh.optional:
                return None
            raise NotFound(
                f'SSH agent "{ssh.id or "default"}" is not known',
                hint="pass it: --ssh default (with SSH_AUTH_SOCK set) or --ssh id=SOCKET",
            )
        status = os.stat(socket)
        owner = self._refs.metadata.nearest(ssh.uid, ssh.gid)
        wanted = (*owner, stat.S_IMODE(ssh.mode))
        if wanted != (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)):
            from lamina.ops.agent_relay import relayed

            path = os.path.join(self._scratch, os.urandom(8).hex())
            socket = stack.enter_context(relayed(socket, path, *wanted))
        return BindMount(socket, mount.dest)


def secret_hint(secret_id: str) -> str:
    """The hint about a missing secret."""
    return f"pass it: --secret id={secret_id},src=FILE (or env=VAR); an empty pipe is not a secret"


def is_change(mount: Mount) -> bool:
    """Whether the changes to a mount become an output of the op."""
    return mount.mount_type is MountType.BIND and mount.output != NO_OUTPUT and not mount.readonly


def _target(mount: Mount, cwd: str) -> str:
    """A mount's path, absolute and clean as runc takes it: runtimes differ in what `..` means."""
    path = posixpath.normpath(posixpath.join("/", cwd, mount.dest)).lstrip("/")
    if not path and mount.dest != "/":
        raise InvalidInput(f"the mount at {mount.dest} would hide the root of the step")
    return f"/{path}"


def _cache_name(mount: Mount) -> str:
    return (mount.cache.id if mount.cache is not None else "") or mount.dest


def _lock_order(mount: Mount) -> tuple[str, int]:
    """By name; for one name, exclusive mounts first."""
    return _cache_name(mount), -int(mount.cache.sharing) if mount.cache is not None else 0
