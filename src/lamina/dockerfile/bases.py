"""The bases of stages: images, named contexts, the build context, scratch."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, LaminaError, NotFound
from lamina.base.json_document import load_json_object
from lamina.base.oci import diff_ids_of
from lamina.base.patterns import PatternMatcher
from lamina.base.reference import parse_reference
from lamina.dockerfile.checks.bases import check_base_platform
from lamina.dockerfile.graph import Inputs, Step
from lamina.dockerfile.ignore import read_patterns
from lamina.dockerfile.image_config import ImageConfig
from lamina.dockerfile.source_ops import local_source
from lamina.dockerfile.stage import SCRATCH
from lamina.dockerfile.stage_state import StageState
from lamina.llb.op import Op, SourceOp
from lamina.llb.platform import llb_platform
from lamina.llb.state import unmarshal

if TYPE_CHECKING:
    from lamina.base.platform import Platform
    from lamina.base.reference import Reference
    from lamina.dockerfile.checks.checker import Checker
    from lamina.dockerfile.contract import (
        Bridge,
        DockerfileText,
        FrontendRequest,
        NamedContext,
        ResolvedImage,
    )
    from lamina.dockerfile.stage import Stage
    from lamina.dockerfile.stage_table import StageTable
    from lamina.llb.op import Definition, SourceInfo

CONTEXT = "context"
_COMMON_IMAGES = ("alpine", "busybox", "centos", "debian", "fedora", "golang", "node", "ubuntu")


class Bases:
    """Resolves the bases of stages. The bridge resolves each image once."""

    def __init__(
        self,
        request: FrontendRequest,
        bridge: Bridge,
        text: DockerfileText,
        source: SourceInfo,
        checker: Checker,
    ) -> None:
        self._request = request
        self._bridge = bridge
        self._checker = checker
        self._source = source
        self._named = {_plain_name(c.name): c for c in request.named_contexts}
        self._images: dict[tuple[Reference, Platform], ResolvedImage] = {}
        self._ignore = read_patterns(text.ignore) if text.ignore else ()
        # Names the file with the error; a bad pattern would otherwise fail in the middle of a
        # build.
        self.ignored = PatternMatcher(self._ignore)
        self.context_paths: set[str] = set()
        self.build_context = self._build_context(request.context.definition)

    def stage_context(self, name: str, platform: Platform) -> NamedContext | None:
        """The named context that replaces a stage. As in BuildKit, none replaces stages named
        `scratch` or `context`."""
        return None if name.lower() in (SCRATCH, CONTEXT) else self._named_context(name, platform)

    def _named_context(self, name: str, platform: Platform) -> NamedContext | None:
        if not self._named:
            return None
        plain = _plain_name(name)
        return self._named.get(f"{plain}::{platform}") or self._named.get(plain)

    def resolve(self, stage: Stage, table: StageTable) -> StageState:
        """The initial state of a stage without a base stage. Raises LaminaError, located."""
        platform = stage.platform or self._request.platform
        try:
            return self._resolve(stage, table, platform)
        except LaminaError as error:
            raise error.at(stage.location) from None

    def _resolve(self, stage: Stage, table: StageTable, platform: Platform) -> StageState:
        context = stage.context
        if context is None:
            if stage.image == SCRATCH:
                platform = self._request.platform
                return self._start(stage, table, platform, ImageConfig.empty(platform))
            context = self._named_context(stage.image, platform)
        if context is not None:
            return self._from_context(stage, table, context, platform)
        reference = parse_reference(stage.image)
        resolved = self._image(reference, platform, stage, table)
        state = self._start_image(stage, table, platform, resolved.config)
        if resolved.digest is not None and not _has_layers(resolved.config, state.config):
            return state
        pinned = (resolved.reference or reference)._replace(digest=resolved.digest)
        name = state.step_name(f"FROM {pinned}")
        state.tree = self._image_step(f"docker-image://{pinned}", platform, name, stage)
        check_base_platform(
            stage.image, state.config.platform, platform, stage.location, self._checker
        )
        return state

    def _start(
        self,
        stage: Stage,
        table: StageTable,
        platform: Platform,
        config: ImageConfig,
        base_config: bytes = b"",
    ) -> StageState:
        return StageState(
            stage,
            platform,
            config,
            base_config,
            label=table.label(stage),
            total=table.total(stage),
            several=self._request.several,
        )

    def _start_image(
        self, stage: Stage, table: StageTable, platform: Platform, config: bytes
    ) -> StageState:
        return self._start(stage, table, platform, ImageConfig.parse(config), config)

    def _image(
        self, reference: Reference, platform: Platform, stage: Stage, table: StageTable
    ) -> ResolvedImage:
        key = (reference, platform)
        if key not in self._images:
            try:
                self._images[key] = self._bridge.resolve_image(
                    reference, platform, self._title(reference, platform)
                )
            except LaminaError as error:
                from lamina.dockerfile.suggest import suggest

                during = f"{stage.image}: failed to resolve source metadata for {reference}"
                hint = error.hint
                near = suggest(stage.image, table.names())
                if near:
                    hint = f"{near} (a stage)"
                elif isinstance(error, NotFound):
                    hint = suggest(stage.image, _COMMON_IMAGES) or hint
                raise error.with_context(during=error.during or during, hint=hint) from error
        return self._images[key]

    def _title(self, reference: Reference, platform: Platform) -> str:
        prefix = f"{platform} " if self._request.several else ""
        return f"[{prefix}internal] load metadata for {reference}"

    def _from_context(
        self, stage: Stage, table: StageTable, context: NamedContext, platform: Platform
    ) -> StageState:
        label = f"[context {context.name}]"
        empty = self._start(stage, table, platform, ImageConfig.empty(platform))
        if context.kind == "local":
            empty.tree = self._named_local(empty.needed, context, label)
            return empty
        if context.kind == "docker-image":
            if context.value == SCRATCH:
                return empty
            reference = parse_reference(context.value)
            key = (reference, platform)
            if key not in self._images:
                title = f"{label} load metadata for {context.value}"
                self._images[key] = self._bridge.resolve_image(reference, platform, title)
            resolved = self._images[key]
            pinned = (resolved.reference or reference)._replace(digest=resolved.digest)
            state = self._start_image(stage, table, platform, resolved.config)
            name = f"{label} {context.value}"
            state.tree = self._image_step(f"docker-image://{pinned}", platform, name, stage)
            return state
        if context.kind == "oci-layout":
            resolved = self._bridge.resolve_layout(context.name, context.value, platform)
            state = self._start_image(stage, table, platform, resolved.config)
            identifier = f"oci-layout://{resolved.store or context.name}@{resolved.digest}"
            name = f"{label} OCI load from client"
            state.tree = self._image_step(identifier, platform, name, stage, resolved.attrs)
            return state
        if context.kind == "definition":
            state = empty
            if context.config:
                state = self._start_image(stage, table, platform, context.config)
            edge = unmarshal(context.definition) if context.definition is not None else None
            state.tree = None if edge is None else Step.given(edge)
            return state
        raise InvalidInput(f"unsupported context source {context.kind} for {context.name}")

    def _image_step(
        self,
        identifier: str,
        platform: Platform,
        name: str,
        stage: Stage,
        attrs: tuple[tuple[str, str], ...] = (),
    ) -> Step:
        op = Op(source=SourceOp(identifier, attrs), platform=llb_platform(platform))
        written = stage.head.node.original.strip() if stage.head is not None else ""
        return Step(
            lambda _: op,
            name=name,
            description=(("com.docker.dockerfile.v1.command", written),) if written else (),
            source=self._source,
            location=stage.location,
        )

    def _named_local(self, needed: set[str], context: NamedContext, label: str) -> Step:
        excluded = read_patterns(context.ignore) if context.ignore else ()

        def make(_: Inputs) -> Op:
            shared = f"context:{context.name}"
            if context.shared_key:
                shared += f"-{context.shared_key}"
            return local_source(
                context.value,
                shared,
                session=context.session,
                excluded=excluded,
                followed=_followed(needed),
            )

        return Step(make, name=f"{label} load from client")

    def _build_context(self, definition: Definition | None) -> Step | None:
        if definition is None:
            return Step(self._local_context, name="[internal] load build context")
        edge = unmarshal(definition)
        return None if edge is None else Step.given(edge)

    def _local_context(self, _: Inputs) -> Op:
        return local_source(
            CONTEXT,
            CONTEXT,
            session=self._request.context.session,
            excluded=self._ignore,
            followed=_followed(self.context_paths),
        )


def mark_path(paths: set[str], path: str) -> None:
    """Record that a path is read."""
    paths.add(posixpath.normpath(posixpath.join("/", path.lstrip("/"))))


def _followed(paths: set[str]) -> list[str]:
    """The paths that the client sends of a directory if `paths` are read; empty means all."""
    return [] if "/" in paths else sorted(path[1:] for path in paths)


def _has_layers(data: bytes, config: ImageConfig) -> bool:
    """Whether an image has files; very old images do not list their layers, only their steps."""
    if diff_ids_of(load_json_object(data, "image configuration")):
        return True
    return any(not entry.get("empty_layer") for entry in config.history)


def _plain_name(name: str) -> str:
    """A name in the form in which contexts are looked up: `docker.io/library/x:latest` is `x`."""
    plain, mark, platform = name.partition("::")
    try:
        plain = parse_reference(plain).familiar.removesuffix(":latest")
    except InvalidInput:
        plain = plain.lower()
    return plain + mark + platform
