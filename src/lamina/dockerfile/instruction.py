"""Instructions as values, as written: variables are not expanded.

Every instruction has its node, with its location and text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from lamina.dockerfile.lexer import Heredoc, Node

KEYWORDS = (
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
)


class Command(NamedTuple):
    """A command line: exec form (`args`), or shell form (`args` is the one text, or nothing)."""

    args: tuple[str, ...]
    shell: bool
    heredocs: tuple[Heredoc, ...] = ()


class KeyValue(NamedTuple):
    """A pair of ENV or LABEL. `legacy` is set for the old `NAME value` form."""

    key: str
    value: str
    legacy: bool = False


class From(NamedTuple):
    """A FROM line. `name` is in lower case, "" if the stage has none."""

    node: Node
    image: str
    name: str
    platform: str


class Arg(NamedTuple):
    """An ARG. (name, default) pairs; the default is None if there is none."""

    node: Node
    args: tuple[tuple[str, str | None], ...]


class Env(NamedTuple):
    node: Node
    pairs: tuple[KeyValue, ...]


class Label(NamedTuple):
    node: Node
    pairs: tuple[KeyValue, ...]


class Device(NamedTuple):
    name: str
    required: bool


class Run(NamedTuple):
    """A RUN. `mounts` are the texts of the options; `origins` are their `from` values."""

    node: Node
    command: Command
    mounts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    network: str = "default"
    security: str = "sandbox"
    devices: tuple[Device, ...] = ()


class Copy(NamedTuple):
    """COPY or ADD (`node.keyword`). `inline` are files written in the Dockerfile itself.

    `unpack` and `keep_git_dir` are None if they are not set.
    """

    node: Node
    sources: tuple[str, ...]
    inline: tuple[Heredoc, ...]
    destination: str
    origin: str = ""
    chown: str = ""
    chmod: str = ""
    link: bool = False
    parents: bool = False
    excludes: tuple[str, ...] = ()
    checksum: str = ""
    keep_git_dir: bool | None = None
    unpack: bool | None = None


class Cmd(NamedTuple):
    node: Node
    command: Command


class Entrypoint(NamedTuple):
    node: Node
    command: Command


class Workdir(NamedTuple):
    node: Node
    path: str


class User(NamedTuple):
    node: Node
    user: str


class Volume(NamedTuple):
    node: Node
    paths: tuple[str, ...]


class Expose(NamedTuple):
    node: Node
    ports: tuple[str, ...]


class StopSignal(NamedTuple):
    node: Node
    signal: str


class Shell(NamedTuple):
    node: Node
    words: tuple[str, ...]


class HealthCheck(NamedTuple):
    """`test` is the command after its `CMD`, `CMD-SHELL` or `NONE`; times are nanoseconds."""

    node: Node
    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class OnBuild(NamedTuple):
    """`trigger` is a Dockerfile's text: one instruction, with its heredocs."""

    node: Node
    trigger: str


class Maintainer(NamedTuple):
    node: Node
    name: str


Instruction = (
    Arg
    | Env
    | Label
    | Run
    | Copy
    | Cmd
    | Entrypoint
    | Workdir
    | User
    | Volume
    | Expose
    | StopSignal
    | Shell
    | HealthCheck
    | OnBuild
    | Maintainer
)
