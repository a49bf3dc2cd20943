"""LLB to bytes and back: the field numbers of BuildKit's `solver/pb/ops.proto`."""

from __future__ import annotations

from typing import Any

from lamina.llb import op
from lamina.wire.protobuf import Field, Kind, Label, Schema, decode, encode


def _string(number: int, attribute: str) -> Field:
    return Field(number, attribute, Kind.STRING)


def _strings(number: int, attribute: str) -> Field:
    return Field(number, attribute, Kind.STRING, Label.REPEATED)


def _int(number: int, attribute: str, enum: Any = None) -> Field:
    return Field(number, attribute, Kind.INT, type=enum)


def _ints(number: int, attribute: str) -> Field:
    return Field(number, attribute, Kind.INT, Label.REPEATED)


def _bool(number: int, attribute: str) -> Field:
    return Field(number, attribute, Kind.BOOL)


def _bytes(number: int, attribute: str) -> Field:
    return Field(number, attribute, Kind.BYTES)


def _one(number: int, attribute: str, message: Any) -> Field:
    return Field(number, attribute, Kind.MESSAGE, Label.OPTIONAL, message)


def _many(number: int, attribute: str, message: Any) -> Field:
    return Field(number, attribute, Kind.MESSAGE, Label.REPEATED, message)


def _map(number: int, attribute: str, kind: Kind = Kind.STRING, message: Any = None) -> Field:
    return Field(number, attribute, kind, Label.MAP, message)


SCHEMA: Schema = {
    op.Op: (
        _many(1, "inputs", op.Input),
        _one(2, "exec", op.ExecOp),
        _one(3, "source", op.SourceOp),
        _one(4, "file", op.FileOp),
        _one(5, "build", op.BuildOp),
        _one(6, "merge", op.MergeOp),
        _one(7, "diff", op.DiffOp),
        _one(8, "passthrough", op.PassthroughOp),
        _one(10, "platform", op.LLBPlatform),
        _one(11, "constraints", op.WorkerConstraints),
    ),
    op.Input: (_string(1, "digest"), _int(2, "output")),
    op.LLBPlatform: (
        _string(1, "architecture"),
        _string(2, "os"),
        _string(3, "variant"),
        _string(4, "os_version"),
        _strings(5, "os_features"),
    ),
    op.WorkerConstraints: (_strings(1, "filter"),),
    op.ExecOp: (
        _one(1, "meta", op.ExecMeta),
        _many(2, "mounts", op.Mount),
        _int(3, "network", op.NetMode),
        _int(4, "security", op.SecurityMode),
        _many(5, "secret_env", op.SecretEnv),
        _many(6, "cdi_devices", op.CDIDevice),
    ),
    op.ExecMeta: (
        _strings(1, "args"),
        _strings(2, "env"),
        _string(3, "cwd"),
        _string(4, "user"),
        _one(5, "proxy_env", op.ProxyEnv),
        _many(6, "extra_hosts", op.HostIP),
        _string(7, "hostname"),
        _many(9, "ulimit", op.Ulimit),
        _string(10, "cgroup_parent"),
        _bool(11, "remove_mount_stubs_recursive"),
        _ints(12, "valid_exit_codes"),
    ),
    op.HostIP: (_string(1, "host"), _string(2, "ip")),
    op.Ulimit: (_string(1, "name"), _int(2, "soft"), _int(3, "hard")),
    op.ProxyEnv: (
        _string(1, "http_proxy"),
        _string(2, "https_proxy"),
        _string(3, "ftp_proxy"),
        _string(4, "no_proxy"),
        _string(5, "all_proxy"),
    ),
    op.SecretEnv: (_string(1, "id"), _string(2, "name"), _bool(3, "optional")),
    op.CDIDevice: (_string(1, "name"), _bool(2, "optional")),
    op.Mount: (
        _int(1, "input"),
        _string(2, "selector"),
        _string(3, "dest"),
        _int(4, "output"),
        _bool(5, "readonly"),
        _int(6, "mount_type", op.MountType),
        _one(19, "tmpfs", op.TmpfsOpt),
        _one(20, "cache", op.CacheOpt),
        _one(21, "secret", op.SecretOpt),
        _one(22, "ssh", op.SSHOpt),
        _string(23, "result_id"),
        _int(24, "content_cache", op.MountContentCache),
    ),
    op.TmpfsOpt: (_int(1, "size"),),
    op.CacheOpt: (_string(1, "id"), _int(2, "sharing", op.CacheSharing)),
    op.SecretOpt: (
        _string(1, "id"),
        _int(2, "uid"),
        _int(3, "gid"),
        _int(4, "mode"),
        _bool(5, "optional"),
    ),
    op.SSHOpt: (
        _string(1, "id"),
        _int(2, "uid"),
        _int(3, "gid"),
        _int(4, "mode"),
        _bool(5, "optional"),
    ),
    op.SourceOp: (_string(1, "identifier"), _map(2, "attrs")),
    op.BuildOp: (
        _int(1, "builder"),
        _map(2, "inputs", Kind.MESSAGE, op.BuildInput),
        _one(3, "definition", op.Definition),
        _map(4, "attrs"),
    ),
    op.BuildInput: (_int(1, "input"),),
    op.OpMetadata: (
        _bool(1, "ignore_cache"),
        _map(2, "description"),
        _one(4, "export_cache", op.ExportCache),
        _map(5, "caps", Kind.BOOL),
        _one(6, "progress_group", op.OpProgressGroup),
        _one(7, "linux_resources", op.LinuxResources),
    ),
    op.ExportCache: (_bool(1, "value"),),
    op.OpProgressGroup: (_string(1, "id"), _string(2, "name"), _bool(3, "weak")),
    op.LinuxResources: (
        _int(1, "memory"),
        _int(2, "memory_swap"),
        _int(3, "cpu_shares"),
        _int(4, "cpu_period"),
        _int(5, "cpu_quota"),
        _string(6, "cpuset_cpus"),
        _string(7, "cpuset_mems"),
    ),
    op.SourceMap: (
        _map(1, "locations", Kind.MESSAGE, op.Locations),
        _many(2, "infos", op.SourceInfo),
    ),
    op.Locations: (_many(1, "locations", op.SourceLocation),),
    op.SourceInfo: (
        _string(1, "filename"),
        _bytes(2, "data"),
        _one(3, "definition", op.Definition),
        _string(4, "language"),
    ),
    op.SourceLocation: (_int(1, "source_index"), _many(2, "ranges", op.Range)),
    op.Range: (_one(1, "start", op.Position), _one(2, "end", op.Position)),
    op.Position: (_int(1, "line"), _int(2, "character")),
    op.Definition: (
        Field(1, "ops", Kind.BYTES, Label.REPEATED),
        _map(2, "metadata", Kind.MESSAGE, op.OpMetadata),
        _one(3, "source", op.SourceMap),
    ),
    op.FileOp: (_many(2, "actions", op.FileAction),),
    op.FileAction: (
        _int(1, "input"),
        _int(2, "secondary_input"),
        _int(3, "output"),
        _one(4, "copy", op.CopyAction),
        _one(5, "mkfile", op.MkFileAction),
        _one(6, "mkdir", op.MkDirAction),
        _one(7, "rm", op.RmAction),
        _one(8, "symlink", op.SymlinkAction),
    ),
    op.CopyAction: (
        _string(1, "src"),
        _string(2, "dest"),
        _one(3, "owner", op.ChownOpt),
        _int(4, "mode"),
        _bool(5, "follow_symlink"),
        _bool(6, "dir_copy_contents"),
        _bool(7, "attempt_unpack"),
        _bool(8, "create_dest_path"),
        _bool(9, "allow_wildcard"),
        _bool(10, "allow_empty_wildcard"),
        _int(11, "timestamp"),
        _strings(12, "include_patterns"),
        _strings(13, "exclude_patterns"),
        _bool(14, "always_replace"),
        _string(15, "mode_str"),
        _strings(16, "required_paths"),
    ),
    op.MkFileAction: (
        _string(1, "path"),
        _int(2, "mode"),
        _bytes(3, "data"),
        _one(4, "owner", op.ChownOpt),
        _int(5, "timestamp"),
    ),
    op.MkDirAction: (
        _string(1, "path"),
        _int(2, "mode"),
        _bool(3, "make_parents"),
        _one(4, "owner", op.ChownOpt),
        _int(5, "timestamp"),
    ),
    op.RmAction: (_string(1, "path"), _bool(2, "allow_not_found"), _bool(3, "allow_wildcard")),
    op.SymlinkAction: (
        _string(1, "old_path"),
        _string(2, "new_path"),
        _one(3, "owner", op.ChownOpt),
        _int(4, "timestamp"),
    ),
    op.ChownOpt: (_one(1, "user", op.UserOpt), _one(2, "group", op.UserOpt)),
    op.UserOpt: (
        _one(1, "by_name", op.NamedUser),
        Field(2, "by_id", Kind.INT, Label.OPTIONAL),
    ),
    op.NamedUser: (_string(1, "name"), _int(2, "input")),
    op.MergeInput: (_int(1, "input"),),
    op.MergeOp: (_many(1, "inputs", op.MergeInput),),
    op.DiffInput: (_int(1, "input"),),
    op.DiffOp: (_one(1, "lower", op.DiffInput), _one(2, "upper", op.DiffInput)),
    op.PassthroughOp: (_string(1, "id"), _ints(2, "outputs")),
}


def encode_op(value: op.Op) -> bytes:
    """The canonical bytes of an op; their SHA-256 is the op's identity."""
    return encode(value, SCHEMA)


def decode_op(data: bytes) -> op.Op:
    """Raises Corrupt."""
    decoded: op.Op = decode(data, op.Op, SCHEMA)
    return decoded


def encode_definition(value: op.Definition) -> bytes:
    return encode(value, SCHEMA)


def decode_definition(data: bytes) -> op.Definition:
    """Raises Corrupt."""
    decoded: op.Definition = decode(data, op.Definition, SCHEMA)
    return decoded
