"""Ops in the JSON of Go's encoding of BuildKit's protobuf structs. BuildKit's cache digests are
computed over it, and provenance contains it.

Fields are in the order of `ops.proto` with the names of the generated structs. Zero values are left
out, but a message that is present and empty is `{}`. Users and file actions have special forms.
"""

from __future__ import annotations

from binascii import b2a_base64
from typing import Any

from lamina.llb import op

NAMES: dict[type, tuple[str, ...]] = {
    op.ExecOp: ("meta", "mounts", "network", "security", "secretenv", "cdiDevices"),
    op.ExecMeta: (
        *("args", "env", "cwd", "user", "proxy_env", "extraHosts", "hostname", "ulimit"),
        *("cgroupParent", "removeMountStubsRecursive", "validExitCodes"),
    ),
    op.ProxyEnv: ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"),
    op.HostIP: ("Host", "IP"),
    op.Ulimit: ("Name", "Soft", "Hard"),
    op.SecretEnv: ("ID", "name", "optional"),
    op.CDIDevice: ("name", "optional"),
    op.Mount: (
        *("input", "selector", "dest", "output", "readonly", "mountType", "TmpfsOpt"),
        *("cacheOpt", "secretOpt", "SSHOpt", "resultID", "contentCache"),
    ),
    op.TmpfsOpt: ("size",),
    op.CacheOpt: ("ID", "sharing"),
    op.SecretOpt: ("ID", "uid", "gid", "mode", "optional"),
    op.SSHOpt: ("ID", "uid", "gid", "mode", "optional"),
    op.NamedUser: ("name", "input"),
    op.ChownOpt: ("user", "group"),
    op.CopyAction: (
        *("src", "dest", "owner", "mode", "followSymlink", "dirCopyContents"),
        *("attemptUnpackDockerCompatibility", "createDestPath", "allowWildcard"),
        *("allowEmptyWildcard", "timestamp", "include_patterns", "exclude_patterns"),
        *("alwaysReplaceExistingDestPaths", "modeStr", "required_paths"),
    ),
    op.MkFileAction: ("path", "mode", "data", "owner", "timestamp"),
    op.MkDirAction: ("path", "mode", "makeParents", "owner", "timestamp"),
    op.RmAction: ("path", "allowNotFound", "allowWildcard"),
    op.SymlinkAction: ("oldpath", "newpath", "owner", "timestamp"),
    op.MergeOp: ("inputs",),
    op.MergeInput: ("input",),
    op.DiffOp: ("lower", "upper"),
    op.DiffInput: ("input",),
    op.BuildInput: ("input",),
    op.FileOp: ("actions",),
    op.SourceOp: ("identifier", "attrs"),
    op.BuildOp: ("builder", "inputs", "def", "attrs"),
    op.BuildInput: ("input",),
    op.PassthroughOp: ("id", "outputs"),
    op.LLBPlatform: ("Architecture", "OS", "Variant", "OSVersion", "OSFeatures"),
    op.WorkerConstraints: ("filter",),
    op.Definition: ("def", "metadata", "Source"),
    op.OpMetadata: (
        *("ignore_cache", "description", "export_cache", "caps"),
        *("progress_group", "linux_resources"),
    ),
    op.ExportCache: ("Value",),
    op.OpProgressGroup: ("id", "name", "weak"),
    op.LinuxResources: (
        *("memory", "memorySwap", "cpuShares", "cpuPeriod", "cpuQuota"),
        *("cpusetCpus", "cpusetMems"),
    ),
    op.SourceMap: ("locations", "infos"),
    op.SourceInfo: ("filename", "data", "definition", "language"),
    op.Locations: ("locations",),
    op.SourceLocation: ("sourceIndex", "ranges"),
    op.Range: ("start", "end"),
    op.Position: ("line", "character"),
}
_MAPS = {
    (op.SourceOp, "attrs"),
    (op.BuildOp, "inputs"),
    (op.BuildOp, "attrs"),
    (op.Definition, "metadata"),
    (op.OpMetadata, "description"),
    (op.OpMetadata, "caps"),
    (op.SourceMap, "locations"),
}
_PLAIN = frozenset((str, int, bool, type(None)))
_ACTIONS = ("copy", "mkfile", "mkdir", "rm", "symlink")


def message(value: tuple[Any, ...]) -> dict[str, Any]:
    """A value of `lamina.llb.op` as a document for `lamina.base.gojson.encode`."""
    if isinstance(value, op.UserOpt):
        return {"User": _user(value)}
    if isinstance(value, op.FileAction):
        return _file_action(value)
    document: dict[str, Any] = {}
    kind = type(value)
    for name, field in zip(NAMES[kind], value, strict=True):
        if type(field) in _PLAIN:  # most fields
            if field:
                document[name] = field
        elif _is_message(field):
            document[name] = message(field)
        elif field and (kind, name) in _MAPS:
            document[name] = {key: _value(entry) for key, entry in sorted(field)}
        elif field:
            document[name] = _value(field)
    return document


def _value(field: Any) -> Any:
    if type(field) in _PLAIN:
        return field
    if _is_message(field):
        return message(field)
    if isinstance(field, tuple):
        return [_value(item) for item in field]
    if isinstance(field, bytes):
        return b2a_base64(field, newline=False).decode()
    return int(field)  # enums are their numbers


def _is_message(field: object) -> bool:
    return type(field) in NAMES or isinstance(field, (op.UserOpt, op.FileAction))


def _file_action(action: op.FileAction) -> dict[str, Any]:
    bodies = ((kind, getattr(action, kind)) for kind in _ACTIONS)
    return {
        "input": action.input,
        "secondaryInput": action.secondary_input,
        "output": action.output,
        "Action": {kind: message(body) for kind, body in bodies if body is not None},
    }


def _user(user: op.UserOpt) -> dict[str, Any]:
    if user.by_name is not None:
        return {"byName": message(user.by_name)}
    return {"byId": user.by_id} if user.by_id else {}
