"""Predefined build arguments: platforms, proxies, SOURCE_DATE_EPOCH."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.llb.op import ProxyEnv

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.base.platform import Platform

SOURCE_DATE_EPOCH = "SOURCE_DATE_EPOCH"
DOCKERFILE_CHECK = "BUILDKIT_DOCKERFILE_CHECK"
SBOM_SCAN_CONTEXT = "BUILDKIT_SBOM_SCAN_CONTEXT"
SBOM_SCAN_STAGE = "BUILDKIT_SBOM_SCAN_STAGE"
# Not for RUN: they select what a scanner examines.
SILENT_ARGS = frozenset((SBOM_SCAN_CONTEXT, SBOM_SCAN_STAGE))
CACHE_NAMESPACE = "BUILDKIT_CACHE_MOUNT_NS"
SANDBOX_HOSTNAME = "BUILDKIT_SANDBOX_HOSTNAME"


def platform_args(target: Platform, build: Platform, stage: str) -> dict[str, str]:
    """The values of `TARGET*` and `BUILD*`. `stage` is the name of the target stage."""
    return {
        "BUILDPLATFORM": str(build),
        "BUILDOS": build.os,
        "BUILDOSVERSION": build.os_version,
        "BUILDARCH": build.architecture,
        "BUILDVARIANT": build.variant,
        "TARGETPLATFORM": str(target),
        "TARGETOS": target.os,
        "TARGETOSVERSION": target.os_version,
        "TARGETARCH": target.architecture,
        "TARGETVARIANT": target.variant,
        "TARGETSTAGE": stage or "default",
    }


def proxy_args(args: Mapping[str, str]) -> ProxyEnv | None:
    """The proxies among the build arguments, in upper or lower case."""
    found: dict[str, str] = {}
    for name in sorted(args):
        if name.lower() in ProxyEnv._fields:
            found[name.lower()] = args[name]
    return ProxyEnv(**found) if found else None


def parse_epoch(text: str) -> int | None:
    """SOURCE_DATE_EPOCH in seconds; None if it is not a number."""
    digits = text[text[:1] in ("-", "+") :]
    if digits.isascii() and digits.isdecimal() and len(digits) < 19:
        return int(text)
    return None
