"""The mounts of a command. `lamina.bind` is `BindMount`, and so on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from lamina.base.named_tuple import NamedTuple
from lamina.states.arguments import Kind

if TYPE_CHECKING:
    from lamina.states.state import State

Sharing = Literal["shared", "private", "locked"]


class BindMount(NamedTuple):
    """Mount the file system of a state, or `path` in it.

    The changes of a writable mount do not change `source`. They are a new state:
    `State.output(target)`.
    """

    source: State
    target: str
    path: str = "/"
    writable: bool = False


class CacheMount(NamedTuple):
    """Mount a directory that is kept between builds.

    `id` is the name of the cache, by default its target. A `RUN --mount=type=cache` of a Dockerfile
    with this id uses the same cache.

    `sharing` says what happens if two commands use it at the same time: both do (`shared`), the
    second gets another directory (`private`), or the second waits (`locked`).

    `source`, or `path` in it, is the initial content.
    """

    target: str
    id: str = ""
    sharing: Sharing = "shared"
    source: State | None = None
    path: str = "/"
    readonly: bool = False


class TmpfsMount(NamedTuple):
    """Mount an empty tmpfs. `size` is its limit in bytes, 0 for the kernel's default."""

    target: str
    size: int = 0


class SecretMount(NamedTuple):
    """Provide a secret as a file, or as the variable `env`.

    `id` is the key of the secret in the builder's `secrets`. `target` is the path of the file, by
    default `/run/secrets/ID` unless `env` is set. If the builder has no such secret, the command
    fails, unless it is not `required`.
    """

    id: str
    target: str = ""
    env: str = ""
    required: bool = True
    mode: int = 0o400
    uid: int = 0
    gid: int = 0


class SshMount(NamedTuple):
    """Provide an SSH agent as a socket; `SSH_AUTH_SOCK` has its path."""

    id: str = "default"
    target: str = ""
    required: bool = True
    mode: int = 0o600
    uid: int = 0
    gid: int = 0


Mount = BindMount | CacheMount | TmpfsMount | SecretMount | SshMount
MOUNT = Kind("a mount", lambda value: isinstance(value, Mount))

bind = BindMount
cache = CacheMount
tmpfs = TmpfsMount
secret = SecretMount
ssh = SshMount
