"""The system calls that a step may use: everything that Docker's default profile lets through.

Expressed as what is *not* allowed: on a current kernel the default profile leaves out these
calls, each of which reaches past the container (kernel modules, mounts, clocks, tracing of the
kernel, namespaces). Calls not known to this list are allowed, as the profile is re-read with
every kernel; anything refused answers EPERM.
"""

from __future__ import annotations

from typing import Any

_EPERM = 1
_ENOSYS = 38

# Refused unless the container has the capability in whose group they stand.
_REFUSED = (
    # kernel and modules
    "create_module",
    "delete_module",
    "finit_module",
    "get_kernel_syms",
    "init_module",
    "query_module",
    "kexec_file_load",
    "kexec_load",
    "reboot",
    # clocks
    "clock_adjtime64",
    "clock_settime",
    "clock_settime64",
    "settimeofday",
    "stime",
    # mounts and namespaces
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "mount",
    "mount_setattr",
    "move_mount",
    "open_tree",
    "pivot_root",
    "setns",
    "umount",
    "umount2",
    "unshare",
    # looking into the kernel and other processes
    "bpf",
    "fanotify_init",
    "kcmp",
    "lookup_dcookie",
    "open_by_handle_at",
    "perf_event_open",
    "quotactl",
    "quotactl_fd",
    "syslog",
    "userfaultfd",
    # keys are not namespaced
    "add_key",
    "keyctl",
    "request_key",
    # machine-wide switches
    "acct",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "ioperm",
    "iopl",
    "mbind",
    "migrate_pages",
    "move_pages",
    "nfsservctl",
    "set_mempolicy",
    "set_mempolicy_home_node",
    "get_mempolicy",
    "setdomainname",
    "sethostname",
    "swapoff",
    "swapon",
    "sysfs",
    "_sysctl",
    "uselib",
    "ustat",
    "vhangup",
    "vm86",
    "vm86old",
)
_CLONE_NAMESPACES = 0x7E020000
_AF_VSOCK = 40
_ARCHITECTURES = {
    "x86_64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "aarch64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
    "riscv64": ["SCMP_ARCH_RISCV64"],
    "ppc64le": ["SCMP_ARCH_PPC64LE"],
    "s390x": ["SCMP_ARCH_S390X", "SCMP_ARCH_S390"],
}


def default_profile(machine: str) -> dict[str, Any]:
    """The `linux.seccomp` object of an OCI runtime spec for a machine (as `uname -m` says)."""
    profile: dict[str, Any] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {"names": list(_REFUSED), "action": "SCMP_ACT_ERRNO", "errnoRet": _EPERM},
            # glibc falls back to clone, whose flags a filter can see.
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS},
            *(
                {
                    "names": ["clone"],
                    "action": "SCMP_ACT_ERRNO",
                    "errnoRet": _EPERM,
                    "args": [
                        {
                            "index": 1 if machine == "s390x" else 0,
                            "value": 1 << bit,
                            "valueTwo": 1 << bit,
                            "op": "SCMP_CMP_MASKED_EQ",
                        }
                    ],
                }
                for bit in range(32)
                if _CLONE_NAMESPACES >> bit & 1
            ),
            {
                "names": ["socket"],
                "action": "SCMP_ACT_ERRNO",
                "errnoRet": _EPERM,
                "args": [{"index": 0, "value": _AF_VSOCK, "op": "SCMP_CMP_EQ"}],
            },
        ],
    }
    if machine in _ARCHITECTURES:
        profile["architectures"] = _ARCHITECTURES[machine]
    return profile
