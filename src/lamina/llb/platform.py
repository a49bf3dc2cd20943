"""Converts platforms of ops (`pb.Platform`) to lamina's."""

from __future__ import annotations

from lamina.base.platform import Platform, normalise
from lamina.llb.op import LLBPlatform


def llb_platform(platform: Platform) -> LLBPlatform:
    return LLBPlatform(
        platform.architecture,
        platform.os,
        platform.variant,
        platform.os_version,
        platform.os_features,
    )


def op_platform(platform: LLBPlatform | None, default: Platform) -> Platform:
    """The platform that an op names, normalised; `default` if it names none."""
    return default if platform is None else platform_of(platform)


def platform_of(platform: LLBPlatform) -> Platform:
    """Lamina's platform, normalised."""
    return normalise(
        Platform(
            platform.os,
            platform.architecture,
            platform.variant,
            platform.os_version,
            platform.os_features,
        )
    )
