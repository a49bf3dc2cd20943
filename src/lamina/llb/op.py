"""LLB's operations as values (facts from BuildKit's `solver/pb/ops.proto`).

Field defaults are protobuf's zero values, so a value written and read again is equal.
Numbers in `input`, `secondary_input`, `output` are indexes into the op's inputs, outputs, or
`NO_INPUT`/`NO_OUTPUT`.
"""

from __future__ import annotations

from enum import IntEnum

from lamina.base.named_tuple import NamedTuple

NO_INPUT = -1
NO_OUTPUT = -1


class Input(NamedTuple):
    """An edge: one output of the op whose bytes hash to `digest`."""

    digest: str = ""
    output: int = 0


class LLBPlatform(NamedTuple):
    architecture: str = ""
    os: str = ""
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()


class WorkerConstraints(NamedTuple):
    filter: tuple[str, ...] = ()


class NetMode(IntEnum):
    UNSET = 0
    HOST = 1
    NONE = 2


class SecurityMode(IntEnum):
    """An open enum, as in protobuf: other numbers are decoded, and rejected when they are used."""

    SANDBOX = 0
    INSECURE = 1

    @classmethod
    def _missing_(cls, value: object) -> SecurityMode | None:
        if not isinstance(value, int):
            return None
        unknown = int.__new__(cls, value)
        unknown._name_, unknown._value_ = f"UNKNOWN_{value}", value
        return unknown


class MountType(IntEnum):
    BIND = 0
    SECRET = 1
    SSH = 2
    CACHE = 3
    TMPFS = 4


class MountContentCache(IntEnum):
    DEFAULT = 0
    ON = 1
    OFF = 2


class CacheSharing(IntEnum):
    """What happens when two steps use one cache mount at the same time."""

    SHARED = 0
    PRIVATE = 1
    LOCKED = 2


class HostIP(NamedTuple):
    host: str = ""
    ip: str = ""


class Ulimit(NamedTuple):
    name: str = ""
    soft: int = 0
    hard: int = 0


class ProxyEnv(NamedTuple):
    http_proxy: str = ""
    https_proxy: str = ""
    ftp_proxy: str = ""
    no_proxy: str = ""
    all_proxy: str = ""


class ExecMeta(NamedTuple):
    """What to run: `env` entries are `NAME=value`, `user` is `name|uid[:group|gid]`."""

    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    cwd: str = ""
    user: str = ""
    proxy_env: ProxyEnv | None = None
    extra_hosts: tuple[HostIP, ...] = ()
    hostname: str = ""
    ulimit: tuple[Ulimit, ...] = ()
    cgroup_parent: str = ""
    remove_mount_stubs_recursive: bool = False
    valid_exit_codes: tuple[int, ...] = ()


class TmpfsOpt(NamedTuple):
    size: int = 0


class CacheOpt(NamedTuple):
    id: str = ""
    sharing: CacheSharing = CacheSharing.SHARED


class SecretOpt(NamedTuple):
    id: str = ""
    uid: int = 0
    gid: int = 0
    mode: int = 0
    optional: bool = False


class SSHOpt(NamedTuple):
    id: str = ""
    uid: int = 0
    gid: int = 0
    mode: int = 0
    optional: bool = False


class Mount(NamedTuple):
    """One file system of an exec. The one with `dest="/"` is its root."""

    input: int = 0
    selector: str = ""
    dest: str = ""
    output: int = 0
    readonly: bool = False
    mount_type: MountType = MountType.BIND
    tmpfs: TmpfsOpt | None = None
    cache: CacheOpt | None = None
    secret: SecretOpt | None = None
    ssh: SSHOpt | None = None
    result_id: str = ""
    content_cache: MountContentCache = MountContentCache.DEFAULT


class SecretEnv(NamedTuple):
    id: str = ""
    name: str = ""
    optional: bool = False


class CDIDevice(NamedTuple):
    name: str = ""
    optional: bool = False


class ExecOp(NamedTuple):
    meta: ExecMeta | None = None
    mounts: tuple[Mount, ...] = ()
    network: NetMode = NetMode.UNSET
    security: SecurityMode = SecurityMode.SANDBOX
    secret_env: tuple[SecretEnv, ...] = ()
    cdi_devices: tuple[CDIDevice, ...] = ()


class SourceOp(NamedTuple):
    """`identifier` is a URL: `docker-image://`, `local://`, `git://`, `https://`, `oci-layout://`.

    `attrs` are (name, value) pairs sorted by name.
    """

    identifier: str = ""
    attrs: tuple[tuple[str, str], ...] = ()


class NamedUser(NamedTuple):
    name: str = ""
    input: int = 0


class UserOpt(NamedTuple):
    """A name to look up in an input's passwd or group file, or a number; one of the two."""

    by_name: NamedUser | None = None
    by_id: int | None = None


class ChownOpt(NamedTuple):
    user: UserOpt | None = None
    group: UserOpt | None = None


class CopyAction(NamedTuple):
    """Copy `src` of the secondary input onto `dest` of the input. `mode` -1 keeps the source's."""

    src: str = ""
    dest: str = ""
    owner: ChownOpt | None = None
    mode: int = 0
    follow_symlink: bool = False
    dir_copy_contents: bool = False
    attempt_unpack: bool = False
    create_dest_path: bool = False
    allow_wildcard: bool = False
    allow_empty_wildcard: bool = False
    timestamp: int = 0
    include_patterns: tuple[str, ...] = ()
    exclude_patterns: tuple[str, ...] = ()
    always_replace: bool = False
    mode_str: str = ""
    required_paths: tuple[str, ...] = ()


class MkFileAction(NamedTuple):
    path: str = ""
    mode: int = 0
    data: bytes = b""
    owner: ChownOpt | None = None
    timestamp: int = 0


class MkDirAction(NamedTuple):
    path: str = ""
    mode: int = 0
    make_parents: bool = False
    owner: ChownOpt | None = None
    timestamp: int = 0


class RmAction(NamedTuple):
    path: str = ""
    allow_not_found: bool = False
    allow_wildcard: bool = False


class SymlinkAction(NamedTuple):
    """Make `new_path` a link to `old_path`."""

    old_path: str = ""
    new_path: str = ""
    owner: ChownOpt | None = None
    timestamp: int = 0


class FileAction(NamedTuple):
    """One action of a FileOp; exactly one of the last five is set.

    `input` below the number of op inputs names an input, above it an earlier action's result.
    """

    input: int = 0
    secondary_input: int = 0
    output: int = 0
    copy: CopyAction | None = None
    mkfile: MkFileAction | None = None
    mkdir: MkDirAction | None = None
    rm: RmAction | None = None
    symlink: SymlinkAction | None = None


class FileOp(NamedTuple):
    actions: tuple[FileAction, ...] = ()


class MergeInput(NamedTuple):
    input: int = 0


class MergeOp(NamedTuple):
    inputs: tuple[MergeInput, ...] = ()


class DiffInput(NamedTuple):
    input: int = 0


class DiffOp(NamedTuple):
    lower: DiffInput | None = None
    upper: DiffInput | None = None


class BuildInput(NamedTuple):
    input: int = 0


class BuildOp(NamedTuple):
    builder: int = 0
    inputs: tuple[tuple[str, BuildInput], ...] = ()
    definition: Definition | None = None
    attrs: tuple[tuple[str, str], ...] = ()


class PassthroughOp(NamedTuple):
    id: str = ""
    outputs: tuple[int, ...] = ()


class Op(NamedTuple):
    """One vertex of the graph; exactly one of the seven kinds is set, or none at the end.

    The last op of a definition has no kind and one input: the definition's result.
    """

    inputs: tuple[Input, ...] = ()
    exec: ExecOp | None = None
    source: SourceOp | None = None
    file: FileOp | None = None
    build: BuildOp | None = None
    merge: MergeOp | None = None
    diff: DiffOp | None = None
    passthrough: PassthroughOp | None = None
    platform: LLBPlatform | None = None
    constraints: WorkerConstraints | None = None


class ExportCache(NamedTuple):
    value: bool = False


class OpProgressGroup(NamedTuple):
    id: str = ""
    name: str = ""
    weak: bool = False


class LinuxResources(NamedTuple):
    """Limits of one step; kept out of the op so that they never touch a cache key."""

    memory: int = 0
    memory_swap: int = 0
    cpu_shares: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""


class OpMetadata(NamedTuple):
    """Metadata of an op, which is not part of its identity.

    `description` holds `llb.customname` (the step's display name) among others.
    """

    ignore_cache: bool = False
    description: tuple[tuple[str, str], ...] = ()
    export_cache: ExportCache | None = None
    caps: tuple[tuple[str, bool], ...] = ()
    progress_group: OpProgressGroup | None = None
    linux_resources: LinuxResources | None = None


class Position(NamedTuple):
    line: int = 0
    character: int = 0


class Range(NamedTuple):
    start: Position | None = None
    end: Position | None = None


class SourceLocation(NamedTuple):
    source_index: int = 0
    ranges: tuple[Range, ...] = ()


class Locations(NamedTuple):
    locations: tuple[SourceLocation, ...] = ()


class SourceInfo(NamedTuple):
    filename: str = ""
    data: bytes = b""
    definition: Definition | None = None
    language: str = ""


class SourceMap(NamedTuple):
    """The source locations (text and lines) of each op, by op digest."""

    locations: tuple[tuple[str, Locations], ...] = ()
    infos: tuple[SourceInfo, ...] = ()


class Definition(NamedTuple):
    """`pb.Definition`: ops as their exact bytes (inputs before users), and what goes with them."""

    ops: tuple[bytes, ...] = ()
    metadata: tuple[tuple[str, OpMetadata], ...] = ()
    source: SourceMap | None = None


DESCRIPTION_NAME = "llb.customname"
"""The `OpMetadata.description` key with the step's display name."""
