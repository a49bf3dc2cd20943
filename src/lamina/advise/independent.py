"""Recognises commands that do not depend on other steps, and those that may compile."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.advise.programs import Invocation
    from lamina.advise.stages import Step

_SYSTEM = frozenset(("apt-get", "apt", "apk", "dnf", "dnf5", "microdnf", "yum"))
_ACCOUNTS = frozenset(("useradd", "groupadd", "adduser", "addgroup"))
_CLEARED = ("/var/lib/apt/", "/var/cache/", "/root/.cache", "/root/.npm")
_LOCAL = re.compile(r"^\.(?:\.?$|\[)|/|\.(?:deb|rpm|apk|whl|tgz|tar\.gz)$")
_PYTHON_FILES = ("-r", "--requirement", "-c", "--constraint", "-e", "--editable", "-f")

# Programs that read no store of modules or packages. Any other may be a build script.
_PLAIN = frozenset(
    (
        *("[", "addgroup", "adduser", "awk", "cat", "cd", "chgrp", "chmod", "chown", "cp", "curl"),
        *("cut", "date", "dpkg", "echo", "export", "false", "find", "git", "grep", "groupadd"),
        *(
            "gzip",
            "head",
            "install",
            "ln",
            "locale-gen",
            "ls",
            "mkdir",
            "mv",
            "printf",
            "pwd",
            "rm",
        ),
        *("rmdir", "sed", "set", "sleep", "sort", "strip", "tail", "tar", "test", "touch", "tr"),
        *("true", "uname", "unset", "unzip", "update-ca-certificates", "upx", "useradd", "usermod"),
        *("wc", "wget", "which", "xargs", "xz", "zip", "apk", "apt", "apt-get", "dnf", "yum"),
        *("microdnf", "pip", "uv", "npm", "pnpm", "yarn", "corepack", "npx", "rustup", "ldd"),
        *(
            "java",
            "jar",
            "jlink",
            "jdeps",
            "keytool",
            "openssl",
            "ldconfig",
            "sha256sum",
            "id",
            "whoami",
        ),
        *("gpg", "ssh-keyscan", "update-alternatives", "node", "file", "readelf", "apt-key"),
    )
)


def may_build(step: Step) -> bool:
    """Whether a RUN may compile something: it runs a program that is not known."""
    found = step.invocations
    return found is None or any(one.program not in _PLAIN for one in found)


def is_independent(found: Invocation, step: Step) -> bool:
    """Whether a command does the same before and after files of the context are copied."""
    values = [word.value for word in found.arguments]
    if found.program in _SYSTEM:
        return not any(_is_local(value) for value in values)
    if found.program in _ACCOUNTS:
        return True
    if found.program == "rm":
        paths = [step.before.path(value) for value in values if not value.startswith("-")]
        return bool(paths) and all(path.startswith(_CLEARED) for path in paths)
    if found.program == "npm":
        packages = found.has_flag("-g", "--global") and not any(map(_is_local, values))
        return packages or values[:2] in (["cache", "clean"], ["config", "set"])
    if found.program == "corepack":
        return values[:1] in (["enable"], ["prepare"])
    if found.program in ("pip", "pip3"):
        return (
            values[:1] == ["install"]
            and not any(value.startswith(_PYTHON_FILES) for value in values)
            and not any(_is_local(value) for value in values)
            and any(not value.startswith("-") for value in values[1:])
        )
    return False


def _is_local(value: str) -> bool:
    """Whether an argument is, or may be, a path of a file."""
    if value.startswith("-"):
        value = value.partition("=")[2]
    if "://" in value or re.fullmatch(r"@[\w./-]+(?:@.*)?", value):
        return False
    return _LOCAL.search(value) is not None
