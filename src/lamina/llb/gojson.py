"""Ops as the JSON that BuildKit's cache digests are over: Go's, of its protobuf structs.

Fields are in the order of `ops.proto` under the names of its generated structs; what is zero is
left out, but a message that is there and empty is `{}`. Users have a form of their own.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from lamina.llb import op

_NAMES: dict[type, tuple[str, ...]] = {
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
}


def message(value: tuple[Any, ...]) -> dict[str, Any]:
    """A value of `lamina.llb.op` as a document for `lamina.base.gojson.encode`."""
    if isinstance(value, op.UserOpt):
        return {"User": _user(value)}
    document: dict[str, Any] = {}
    for name, field in zip(_NAMES[type(value)], value, strict=True):
        if field is None or (field in (0, "", b"", ()) and not _is_message(field)):
            continue
        document[name] = _value(field)
    return document


def _value(field: Any) -> Any:
    if _is_message(field):
        return message(field)
    if isinstance(field, tuple):
        return [_value(item) for item in field]
    if isinstance(field, bytes):
        return b64encode(field).decode()
    if isinstance(field, int) and not isinstance(field, bool):
        return int(field)  # enums are their numbers
    return field


def _is_message(field: object) -> bool:
    return type(field) in _NAMES or isinstance(field, op.UserOpt)


def _user(user: op.UserOpt) -> dict[str, Any]:
    if user.by_name is not None:
        return {"byName": message(user.by_name)}
    return {"byId": user.by_id} if user.by_id else {}
