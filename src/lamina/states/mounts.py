"""The mounts of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from lamina.states.state import State

Sharing = Literal["shared", "private", "locked"]


class BindMount(NamedTuple):
    """See `bind`."""

    source: State
    target: str
    path: str = "/"
    writable: bool = False


class CacheMount(NamedTuple):
    """See `cache`."""

    target: str
    id: str = ""
    sharing: Sharing = "shared"
    source: State | None = None
    path: str = "/"
    readonly: bool = False


class TmpfsMount(NamedTuple):
    """See `tmpfs`."""

    target: str
    size: int = 0


class SecretMount(NamedTuple):
    """See `secret`."""

    id: str
    target: str = ""
    env: str = ""
    required: bool = True
    mode: int = 0o400
    uid: int = 0
    gid: int = 0


class SshMount(NamedTuple):
    """See `ssh`."""

    id: str = "default"
    target: str = ""
    required: bool = True
    mode: int = 0o600
    uid: int = 0
    gid: int = 0


Mount = BindMount | CacheMount | TmpfsMount | SecretMount | SshMount


def bind(source: State, target: str, *, path: str = "/", writable: bool = False) -> BindMount:
    """Mount the file system of a state, or `path` in it.

    The changes of a writable mount do not change `source`. They are a new state:
    `State.output(target)`.
    """
    return BindMount(source, target, path, writable)


def cache(
    target: str,
    *,
    id: str = "",
    sharing: Sharing = "shared",
    source: State | None = None,
    path: str = "/",
    readonly: bool = False,
) -> CacheMount:
    """Mount a directory that is kept between builds.

    Args:
        id: the name of the cache, by default its target. A `RUN --mount=type=cache` of a
            Dockerfile with this id uses the same cache.
        sharing: what happens if two commands use it at the same time: both do (`shared`), the
            second gets another directory (`private`), or the second waits (`locked`).
        source: the initial content, or `path` in it.
    """
    return CacheMount(target, id, sharing, source, path, readonly)


def tmpfs(target: str, *, size: int = 0) -> TmpfsMount:
    """Mount an empty tmpfs. `size` is its limit in bytes, 0 for the kernel's default."""
    return TmpfsMount(target, size)


def secret(
    id: str,
    *,
    target: str = "",
    env: str = "",
    required: bool = True,
    mode: int = 0o400,
    uid: int = 0,
    gid: int = 0,
) -> SecretMount:
    """Provide a secret as a file, or as the variable `env`.

    Args:
        id: the key of the secret in the builder's `secrets`.
        target: the path of the file, by default `/run/secrets/ID` unless `env` is set.
        required: whether the command fails if the builder has no such secret.
    """
    return SecretMount(id, target, env, required, mode, uid, gid)


def ssh(
    id: str = "default",
    *,
    target: str = "",
    required: bool = True,
    mode: int = 0o600,
    uid: int = 0,
    gid: int = 0,
) -> SshMount:
    """Provide an SSH agent as a socket; `SSH_AUTH_SOCK` has its path."""
    return SshMount(id, target, required, mode, uid, gid)
