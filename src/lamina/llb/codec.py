"""LLB to bytes and back: the field numbers of BuildKit's `solver/pb/ops.proto`."""

from __future__ import annotations

from functools import lru_cache

from lamina.llb import op
from lamina.wire.fields import (
    boolean,
    choice,
    data,
    datas,
    integer,
    integers,
    many,
    mapping,
    one,
    string,
    strings,
)
from lamina.wire.protobuf import Field, Kind, Label, Schema, decode, encode

SCHEMA: Schema = {
    op.Op: (
        many(1, "inputs", op.Input),
        choice(2, "exec", op.ExecOp),
        choice(3, "source", op.SourceOp),
        choice(4, "file", op.FileOp),
        choice(5, "build", op.BuildOp),
        choice(6, "merge", op.MergeOp),
        choice(7, "diff", op.DiffOp),
        choice(8, "passthrough", op.PassthroughOp),
        one(10, "platform", op.LLBPlatform),
        one(11, "constraints", op.WorkerConstraints),
    ),
    op.Input: (string(1, "digest"), integer(2, "output")),
    op.LLBPlatform: (
        string(1, "architecture"),
        string(2, "os"),
        string(3, "variant"),
        string(4, "os_version"),
        strings(5, "os_features"),
    ),
    op.WorkerConstraints: (strings(1, "filter"),),
    op.ExecOp: (
        one(1, "meta", op.ExecMeta),
        many(2, "mounts", op.Mount),
        integer(3, "network", op.NetMode),
        integer(4, "security", op.SecurityMode),
        many(5, "secret_env", op.SecretEnv),
        many(6, "cdi_devices", op.CDIDevice),
    ),
    op.ExecMeta: (
        strings(1, "args"),
        strings(2, "env"),
        string(3, "cwd"),
        string(4, "user"),
        one(5, "proxy_env", op.ProxyEnv),
        many(6, "extra_hosts", op.HostIP),
        string(7, "hostname"),
        many(9, "ulimit", op.Ulimit),
        string(10, "cgroup_parent"),
        boolean(11, "remove_mount_stubs_recursive"),
        integers(12, "valid_exit_codes"),
    ),
    op.HostIP: (string(1, "host"), string(2, "ip")),
    op.Ulimit: (string(1, "name"), integer(2, "soft"), integer(3, "hard")),
    op.ProxyEnv: (
        string(1, "http_proxy"),
        string(2, "https_proxy"),
        string(3, "ftp_proxy"),
        string(4, "no_proxy"),
        string(5, "all_proxy"),
    ),
    op.SecretEnv: (string(1, "id"), string(2, "name"), boolean(3, "optional")),
    op.CDIDevice: (string(1, "name"), boolean(2, "optional")),
    op.Mount: (
        integer(1, "input"),
        string(2, "selector"),
        string(3, "dest"),
        integer(4, "output"),
        boolean(5, "readonly"),
        integer(6, "mount_type", op.MountType),
        one(19, "tmpfs", op.TmpfsOpt),
        one(20, "cache", op.CacheOpt),
        one(21, "secret", op.SecretOpt),
        one(22, "ssh", op.SSHOpt),
        string(23, "result_id"),
        integer(24, "content_cache", op.MountContentCache),
    ),
    op.TmpfsOpt: (integer(1, "size"),),
    op.CacheOpt: (string(1, "id"), integer(2, "sharing", op.CacheSharing)),
    op.SecretOpt: (
        string(1, "id"),
        integer(2, "uid"),
        integer(3, "gid"),
        integer(4, "mode"),
        boolean(5, "optional"),
    ),
    op.SSHOpt: (
        string(1, "id"),
        integer(2, "uid"),
        integer(3, "gid"),
        integer(4, "mode"),
        boolean(5, "optional"),
    ),
    op.SourceOp: (string(1, "identifier"), mapping(2, "attrs")),
    op.BuildOp: (
        integer(1, "builder"),
        mapping(2, "inputs", Kind.MESSAGE, op.BuildInput),
        one(3, "definition", op.Definition),
        mapping(4, "attrs"),
    ),
    op.BuildInput: (integer(1, "input"),),
    op.OpMetadata: (
        boolean(1, "ignore_cache"),
        mapping(2, "description"),
        one(4, "export_cache", op.ExportCache),
        mapping(5, "caps", Kind.BOOL),
        one(6, "progress_group", op.OpProgressGroup),
        one(7, "linux_resources", op.LinuxResources),
    ),
    op.ExportCache: (boolean(1, "value"),),
    op.OpProgressGroup: (string(1, "id"), string(2, "name"), boolean(3, "weak")),
    op.LinuxResources: (
        integer(1, "memory"),
        integer(2, "memory_swap"),
        integer(3, "cpu_shares"),
        integer(4, "cpu_period"),
        integer(5, "cpu_quota"),
        string(6, "cpuset_cpus"),
        string(7, "cpuset_mems"),
    ),
    op.SourceMap: (
        mapping(1, "locations", Kind.MESSAGE, op.Locations),
        many(2, "infos", op.SourceInfo),
    ),
    op.Locations: (many(1, "locations", op.SourceLocation),),
    op.SourceInfo: (
        string(1, "filename"),
        data(2, "data"),
        one(3, "definition", op.Definition),
        string(4, "language"),
    ),
    op.SourceLocation: (integer(1, "source_index"), many(2, "ranges", op.Range)),
    op.Range: (one(1, "start", op.Position), one(2, "end", op.Position)),
    op.Position: (integer(1, "line"), integer(2, "character")),
    op.Definition: (
        datas(1, "ops"),
        mapping(2, "metadata", Kind.MESSAGE, op.OpMetadata),
        one(3, "source", op.SourceMap),
    ),
    op.FileOp: (many(2, "actions", op.FileAction),),
    op.FileAction: (
        integer(1, "input"),
        integer(2, "secondary_input"),
        integer(3, "output"),
        one(4, "copy", op.CopyAction),
        one(5, "mkfile", op.MkFileAction),
        one(6, "mkdir", op.MkDirAction),
        one(7, "rm", op.RmAction),
        one(8, "symlink", op.SymlinkAction),
    ),
    op.CopyAction: (
        string(1, "src"),
        string(2, "dest"),
        one(3, "owner", op.ChownOpt),
        integer(4, "mode"),
        boolean(5, "follow_symlink"),
        boolean(6, "dir_copy_contents"),
        boolean(7, "attempt_unpack"),
        boolean(8, "create_dest_path"),
        boolean(9, "allow_wildcard"),
        boolean(10, "allow_empty_wildcard"),
        integer(11, "timestamp"),
        strings(12, "include_patterns"),
        strings(13, "exclude_patterns"),
        boolean(14, "always_replace"),
        string(15, "mode_str"),
        strings(16, "required_paths"),
    ),
    op.MkFileAction: (
        string(1, "path"),
        integer(2, "mode"),
        data(3, "data"),
        one(4, "owner", op.ChownOpt),
        integer(5, "timestamp"),
    ),
    op.MkDirAction: (
        string(1, "path"),
        integer(2, "mode"),
        boolean(3, "make_parents"),
        one(4, "owner", op.ChownOpt),
        integer(5, "timestamp"),
    ),
    op.RmAction: (string(1, "path"), boolean(2, "allow_not_found"), boolean(3, "allow_wildcard")),
    op.SymlinkAction: (
        string(1, "old_path"),
        string(2, "new_path"),
        one(3, "owner", op.ChownOpt),
        integer(4, "timestamp"),
    ),
    op.ChownOpt: (one(1, "user", op.UserOpt), one(2, "group", op.UserOpt)),
    op.UserOpt: (
        one(1, "by_name", op.NamedUser),
        Field(2, "by_id", Kind.INT, Label.OPTIONAL),
    ),
    op.NamedUser: (string(1, "name"), integer(2, "input")),
    op.MergeInput: (integer(1, "input"),),
    op.MergeOp: (many(1, "inputs", op.MergeInput),),
    op.DiffInput: (integer(1, "input"),),
    op.DiffOp: (one(1, "lower", op.DiffInput), one(2, "upper", op.DiffInput)),
    op.PassthroughOp: (string(1, "id"), integers(2, "outputs")),
}


def encode_op(value: op.Op) -> bytes:
    """The canonical bytes of an op; their SHA-256 is the op's identity."""
    return encode(value, SCHEMA)


def decode_op(encoded: bytes) -> op.Op:
    """Decode an op. Raises Corrupt."""
    return _decode_op(encoded) if len(encoded) > _SMALL else _decode_again(encoded)


def _decode_op(encoded: bytes) -> op.Op:
    decoded: op.Op = decode(encoded, op.Op, SCHEMA)
    return decoded


# A build decodes its ops several times, and the next build has the same ones.
_decode_again = lru_cache(1024)(_decode_op)
_SMALL = 2048  # bytes


def encode_definition(value: op.Definition) -> bytes:
    return encode(value, SCHEMA)


def decode_definition(encoded: bytes) -> op.Definition:
    """Decode a definition. Raises Corrupt."""
    decoded: op.Definition = decode(encoded, op.Definition, SCHEMA)
    return decoded
