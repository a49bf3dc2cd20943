"""The state of a stage's conversion, which its next instruction builds on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.base.platform import normalise, parse_platform

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.base.location import Location
    from lamina.base.platform import Platform
    from lamina.dockerfile.graph import Step
    from lamina.dockerfile.image_config import ImageConfig
    from lamina.dockerfile.mounts import RunMount
    from lamina.dockerfile.stage import Stage


class StageState:
    """The file system, image configuration and variables of a stage so far. Changed by each
    instruction; used by one thread.

    `base_config` is the image configuration of the base image, b"" for scratch. `env` are the
    variables that instructions see, in the order they were last set, `args` those that ARG
    declared. `needed` are the paths of its result that others read, shared with the stage it builds
    on; `context_paths` those that it reads of the build context. `only_once` are the locations of
    instructions that a stage should not have twice, `entered` says that there was a WORKDIR.
    `mounts` are those of its RUN instructions.

    Args:
        label: the name of the stage in step names, "" to leave it out.
        total: the number of steps, 0 if they are not numbered.
        several: whether step names have the platform.
    """

    def __init__(
        self,
        stage: Stage,
        platform: Platform,
        config: ImageConfig,
        base_config: bytes = b"",
        *,
        label: str,
        total: int,
        several: bool,
    ) -> None:
        self.stage = stage
        self.platform = platform
        self.config = config
        self.base_config = base_config
        self.label = label
        self.total = total
        self.several = several
        self.position = 0
        self.tree: Step | None = None
        self.env: dict[str, str] = {}
        self.args: list[tuple[str, str | None]] = []
        self.directory = "/"
        self.only_once: dict[str, Location] = {}
        self.entered = False
        self.mounts: list[tuple[RunMount, Location]] = []
        self.needed: set[str] = set()
        self.context_paths: set[str] = set()

    def successor(self, stage: Stage, *, label: str, total: int) -> StageState:
        """The initial state of a stage on top of this one. Triggers are not inherited."""
        config = self.config.copy()
        config.settings.pop("OnBuild", None)
        state = StageState(
            stage,
            self.platform,
            config,
            self.base_config,
            label=label,
            total=total,
            several=self.several,
        )
        state.tree = self.tree
        state.env = dict(self.env)
        state.args = list(self.args)
        state.directory = self.directory
        state.entered = self.entered
        state.needed = self.needed
        return state

    def set_env(self, name: str, value: str) -> None:
        self.env.pop(name, None)
        self.env[name] = value

    def step_name(self, text: str, *, triggered: bool = False) -> str:
        """The next step's display name: `[builder 3/7] RUN …`; with several platforms
        `[linux/amd64->arm64 builder 3/7] RUN …`."""
        if not self.total:
            return text
        self.position += 1
        width = len(str(self.total))
        label = f"{self.label} " if self.label else ""
        if self.several:
            label = f"{self.platform}{_compiled_for(self.platform, self.env)} {label}"
        on_build = "ONBUILD " if triggered else ""
        return f"[{label}{self.position:>{width}}/{self.total}] {on_build}{text}"


def _compiled_for(platform: Platform, env: Mapping[str, str]) -> str:
    """`->PLATFORM` if the stage has arguments for a target other than its own platform, else ""."""
    whole = env.get("TARGETPLATFORM")
    try:
        target = parse_platform(whole) if whole else None
    except InvalidInput:
        target = None
    if target is None:
        target = normalise(
            platform._replace(
                os=env.get("TARGETOS") or platform.os,
                architecture=env.get("TARGETARCH") or platform.architecture,
                variant=env.get("TARGETVARIANT", ""),
            )
        )
    if target.os != platform.os:
        return f"->{target}"
    if target.architecture == platform.architecture:
        return ""
    return "->" + "/".join(filter(None, (target.architecture, target.variant)))
