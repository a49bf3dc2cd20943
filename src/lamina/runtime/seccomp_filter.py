"""Compiling a seccomp profile once, instead of in every container.

A runtime compiles the profile with libseccomp for each container, which takes most of its time (25
ms of 35). crun accepts a compiled filter in an annotation. It is compiled here with the same
library, and cached, since the same profile and library always give the same filter.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_ACTIONS = {"SCMP_ACT_ALLOW": 0x7FFF0000, "SCMP_ACT_ERRNO": 0x00050000}
_OPERATORS = {
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}
_UNKNOWN = -1
_EEXIST = 17
_INSTRUCTION = 8


def filter_of(profile: dict[str, Any], cache: str) -> bytes:
    """The BPF program of a profile, from the directory `cache` or compiled now.

    Empty if this machine has no libseccomp: then the runtime has to compile it.
    """
    import ctypes
    import hashlib
    import json

    try:
        library = ctypes.CDLL("libseccomp.so.2")
        library.seccomp_version.restype = ctypes.POINTER(ctypes.c_uint)
        version = list(library.seccomp_version()[0:3])
    except (OSError, AttributeError):
        return b""
    recipe = json.dumps([profile, version, os.uname().machine]).encode()
    path = os.path.join(cache, f"seccomp-{hashlib.sha256(recipe).hexdigest()[:32]}")
    try:
        with open(path, "rb") as file:
            digest, program = file.read(32), file.read()
        if program and digest == hashlib.sha256(program).digest():
            return program
    except OSError:
        pass
    program = _compile(library, profile)
    if program:
        _keep(path, hashlib.sha256(program).digest() + program)
    return program


def _keep(path: str, data: bytes) -> None:
    temporary = f"{path}.{os.urandom(4).hex()}"
    try:
        with open(temporary, "xb") as file:
            file.write(data)
        os.rename(temporary, path)
    except OSError:
        return  # then it is compiled again next time


def _compile(library: Any, profile: dict[str, Any]) -> bytes:
    import ctypes

    library.seccomp_init.restype = ctypes.c_void_p
    default = _ACTIONS[profile["defaultAction"]] | profile["defaultErrnoRet"]
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(default)))
    if not context:
        return b""
    fd = -1
    try:
        for name in profile.get("architectures", ()):
            token = library.seccomp_arch_resolve_name(name[len("SCMP_ARCH_") :].lower().encode())
            if library.seccomp_arch_add(context, ctypes.c_uint32(token)) not in (0, -_EEXIST):
                return b""
        add = _adder(library, context)
        if not all(add(rule) for rule in profile["syscalls"]):
            return b""
        fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
        if library.seccomp_export_bpf(context, fd) != 0:
            return b""
        size = os.fstat(fd).st_size
        program = os.pread(fd, size, 0)
        return program if size and size % _INSTRUCTION == 0 else b""
    finally:
        library.seccomp_release(context)
        if fd >= 0:
            os.close(fd)


def _adder(library: Any, context: Any) -> Callable[[dict[str, Any]], bool]:
    import ctypes

    class Comparison(ctypes.Structure):
        _fields_ = (
            ("argument", ctypes.c_uint),
            ("operator", ctypes.c_int),
            ("value", ctypes.c_uint64),
            ("second", ctypes.c_uint64),
        )

    def add(rule: dict[str, Any]) -> bool:
        action = _ACTIONS[rule["action"]] | rule.get("errnoRet", 0)
        arguments = rule.get("args", ())
        comparisons = (Comparison * len(arguments))(
            *(
                Comparison(a["index"], _OPERATORS[a["op"]], a["value"], a["valueTwo"])
                for a in arguments
            )
        )
        for name in rule["names"]:
            number = library.seccomp_syscall_resolve_name(name.encode())
            if number == _UNKNOWN:
                continue
            added = library.seccomp_rule_add_array(
                context, ctypes.c_uint32(action), number, len(arguments), comparisons
            )
            if added != 0:
                return False
        return True

    return add
