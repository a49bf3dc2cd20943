"""The frontend's entry: a request in, a definition and an image configuration out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, LaminaError
from lamina.base.platform import parse_platform
from lamina.base.reference import parse_reference
from lamina.dockerfile.args import platform_args
from lamina.dockerfile.contract import FrontendResult, NamedContext
from lamina.dockerfile.convert import StageConversion
from lamina.dockerfile.ignore import read_patterns
from lamina.dockerfile.image_config import ImageConfig
from lamina.dockerfile.instruction import suggest
from lamina.dockerfile.lexer import parse_document
from lamina.dockerfile.stage import choose_target, divide, needed
from lamina.llb.op import DESCRIPTION_NAME, LLBPlatform, Op, OpMetadata, SourceInfo, SourceOp
from lamina.llb.state import Edge, Vertex, marshal

if TYPE_CHECKING:
    from lamina.dockerfile.contract import Bridge, FrontendRequest
    from lamina.dockerfile.lexer import Node
    from lamina.dockerfile.stage import Stage

CONTEXT = "context"


def build(request: FrontendRequest, bridge: Bridge) -> FrontendResult:
    """Convert the bridge's Dockerfile. Raises InvalidInput and NotFound, located."""
    return Build(request, bridge).run()


class Build:
    """One conversion: stages are converted in the file's order, as far as the target needs."""

    def __init__(self, request: FrontendRequest, bridge: Bridge) -> None:
        self.request = request
        self._bridge = bridge
        text = bridge.read_dockerfile()
        self._ignore = text.ignore
        self.document = parse_document(text.data.decode("utf-8", "surrogateescape"), text.filename)
        self._args = dict(request.build_args)
        self._named = {context.name: context for context in request.named_contexts}
        target_name = request.target
        predefined = {
            **platform_args(request.platform, request.build_platform, target_name),
        }
        predefined.update({k: v for k, v in self._args.items() if k in predefined})
        self._predefined = predefined
        self._stages = divide(self.document, self._args, predefined)
        self._globals = dict(self._stages.global_args)
        self._finished: dict[int, StageConversion] = {}
        self._contexts: dict[str, Edge | None] = {}
        self.several_stages = len(self._stages.all) > 1
        self.hostname = self._args.get("BUILDKIT_SANDBOX_HOSTNAME", "")

    def run(self) -> FrontendResult:
        target = choose_target(self._stages, self.request.target)
        wanted = needed(self._stages, target, tuple(self._named))
        self.several_stages = len(wanted) > 1
        for stage in wanted:
            self._convert(stage)
        done = self._finished[target.number]
        config = done.config
        if self.request.labels:
            labels = {**(config.settings.get("Labels") or {}), **dict(self.request.labels)}
            config.settings["Labels"] = dict(sorted(labels.items()))
        definition = None if done.state is None else marshal(done.state)
        return FrontendResult(definition, config.to_bytes(), self.request.platform)

    def ignores_cache(self, stage: Stage) -> bool:
        request = self.request
        return request.no_cache or (
            stage.name.lower() in [name.lower() for name in request.no_cache_stages]
            or str(stage.number) in request.no_cache_stages
        )

    def global_value(self, name: str) -> str | None:
        """What an ARG without a default takes: a global ARG, or a predefined one."""
        if name in self._globals:
            return self._globals[name]
        return self._predefined.get(name)

    def origin(self, stage: Stage, name: str, node: Node) -> Edge | None:
        """The file system that `from` names: a stage above, a named context, an image.

        "" is the build context. None is the empty file system.
        """
        if not name:
            return self._local(CONTEXT, node, self._ignore)
        if name not in self._named:
            found = self._stages.before(name, stage.number)
            if found is not None:
                return self._finished[found.number].state
            if name == "scratch":
                return None
        edge, _ = self._image(name, stage, node)
        return edge

    def _convert(self, stage: Stage) -> None:
        config: ImageConfig
        state: Edge | None
        above = None
        if stage.image not in self._named:
            above = self._stages.before(stage.image, stage.number)
        triggers: tuple[str, ...] = ()
        declared: dict[str, str] = {}
        if above is not None:
            base = self._finished[above.number]
            state, config = base.state, base.config.copy()
            declared = dict(base.declared)
        elif stage.image == "scratch" and stage.image not in self._named:
            state, config = None, ImageConfig.scratch(self.request.platform)
        else:
            state, data = self._image(stage.image, stage, stage.node)
            config = (
                ImageConfig.parse(data, self.request.platform)
                if data
                else ImageConfig.scratch(self.request.platform)
            )
        on_build = config.settings.pop("OnBuild", None)
        triggers = tuple(on_build or ())
        conversion = StageConversion(self, stage, state, config, self._args)
        conversion.declared.update(declared)
        self._finished[stage.number] = conversion
        conversion.run(triggers)

    def _image(self, name: str, stage: Stage, node: Node) -> tuple[Edge | None, bytes]:
        """An image (or what a named context puts in its place) and its configuration."""
        context = self._named.get(name) or self._named.get(_normal(name))
        if context is not None and context.kind == "local":
            return self._local(name, node, None, context), b""
        platform = self.request.platform
        if stage.platform and node.keyword == "FROM":
            try:
                platform = parse_platform(stage.platform)
            except LaminaError as error:
                raise error.at(node.location) from None
        label = f"[{stage.label + ' ' if self.several_stages else ''}1/{self._total(stage)}] "
        if context is not None and context.kind == "oci-layout":
            resolved = self._bridge.resolve_layout(name, context.value, platform)
            identifier = f"oci-layout://{context.name}@{resolved.digest}"
            shown = f"FROM oci-layout://{context.value}"
        else:
            text = context.value if context is not None else name
            try:
                reference = parse_reference(text)
                resolved = self._bridge.resolve_image(reference, platform)
            except LaminaError as error:
                names = [s.name for s in self._stages.all if s.name]
                near = suggest(name.lower(), names)
                if near:
                    error.hint = f"{near} (a stage)"
                raise error.at(node.location) from None
            pinned = reference._replace(digest=resolved.digest)
            identifier = f"docker-image://{pinned}"
            shown = f"FROM {pinned}"
        is_base = node.keyword == "FROM"
        vertex = Vertex(
            Op(
                source=SourceOp(identifier),
                platform=LLBPlatform(platform.architecture, platform.os, platform.variant),
            ),
            (),
            OpMetadata(description=((DESCRIPTION_NAME, (label if is_base else "") + shown),)),
            self._source(node),
            ((node.location.start, node.location.end),),
        )
        return vertex.output(), resolved.config

    def _total(self, stage: Stage) -> int:
        return 1 + sum(n.keyword in ("RUN", "COPY", "ADD", "WORKDIR") for n in stage.body)

    def _local(
        self, name: str, node: Node, ignore: bytes | None, context: NamedContext | None = None
    ) -> Edge:
        known = self._contexts.get(name)
        if known is not None:
            return known
        attrs = []
        if ignore:
            patterns = read_patterns(ignore)
            if patterns:
                attrs.append(("local.excludepatterns", json.dumps(patterns)))
        attrs.append(("local.sharedkeyhint", name))
        shown = "[internal] load build context" if name == CONTEXT else f"[context {name}] load"
        vertex = Vertex(
            Op(source=SourceOp(f"local://{name}", tuple(sorted(attrs)))),
            (),
            OpMetadata(description=((DESCRIPTION_NAME, shown),)),
            self._source(node),
            ((node.location.start, node.location.end),),
        )
        edge = vertex.output()
        self._contexts[name] = edge
        return edge

    @staticmethod
    def _source(node: Node) -> SourceInfo:
        location = node.location
        return SourceInfo(location.filename, location.text.encode("utf-8", "surrogateescape"))


def _normal(name: str) -> str:
    """A name as image references are compared: `docker.io/library/x` is `x`."""
    try:
        return parse_reference(name).familiar
    except InvalidInput:
        return name
