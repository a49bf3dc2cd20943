"""The frontend's entry: a request in, a definition and an image configuration out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, LaminaError
from lamina.base.platform import normalise, parse_platform
from lamina.dockerfile.args import (
    CACHE_NAMESPACE,
    SANDBOX_HOSTNAME,
    SOURCE_DATE_EPOCH,
    parse_epoch,
    platform_args,
    proxy_args,
)
from lamina.dockerfile.bases import Bases
from lamina.dockerfile.contract import FrontendResult, Warned
from lamina.dockerfile.convert import Conversion, Settings
from lamina.dockerfile.expand import Expander
from lamina.dockerfile.graph import encode
from lamina.dockerfile.instruction import Copy, From, Maintainer, OnBuild, Run, Workdir
from lamina.dockerfile.lexer import parse_document
from lamina.dockerfile.parse import parse_instruction
from lamina.dockerfile.stage import (
    SCRATCH,
    Stage,
    StageTable,
    check_circles,
    link,
    reachable,
    read_stages,
)
from lamina.llb.op import SourceInfo
from lamina.llb.state import marshal

if TYPE_CHECKING:
    from lamina.base.platform import Platform
    from lamina.dockerfile.contract import Bridge, FrontendRequest
    from lamina.dockerfile.instruction import Arg
    from lamina.dockerfile.stage import StageText

_LAYERED = (Run, Copy, Workdir)


def build(request: FrontendRequest, bridge: Bridge) -> FrontendResult:
    """Convert the bridge's Dockerfile. Raises InvalidInput and NotFound, located."""
    return _Build(request, bridge).run()


class _Build:
    def __init__(self, request: FrontendRequest, bridge: Bridge) -> None:
        self._request = request
        self._bridge = bridge
        self._text = bridge.read_dockerfile()
        data = self._text.data.decode("utf-8", "surrogateescape")
        self._document = parse_document(data, self._text.filename)
        self._parts = read_stages(self._document)
        self._build_args = dict(request.build_args)
        self._globals = self._global_args()
        self._epoch = self._source_date_epoch()
        self._source = SourceInfo(self._text.filename, self._text.data, language="Dockerfile")
        self._bases = Bases(request, bridge, self._text, self._source)
        self._table = StageTable()

    def run(self) -> FrontendResult:
        for place in self._document.blank_continuations:
            self._bridge.warn(Warned("NoEmptyContinuation", "Empty continuation line", place))
        for number, text in enumerate(self._parts.stages):
            self._table.add(self._stage(number, text))
        target = self._table.target(self._request.target)
        self._link_stages()
        needed = self._resolve(target)
        conversion = Conversion(self._settings(), self._bases)
        for stage in self._table.all:
            if stage in needed and not stage.done:
                conversion.run(stage)
                self._bases.context_paths |= stage.context_paths
        # All of the target is wanted, also if it is but a named context.
        target.needed.add("/")
        return self._result(target)

    def _global_args(self) -> dict[str, str]:
        """Predefined arguments, and those that ARG lines above the first FROM add."""
        target = self._request.target or self._parts.stages[-1].head.name
        known = platform_args(self._request.platform, self._request.build_platform, target)
        known.update({k: v for k, v in self._build_args.items() if k in known})
        for arg in self._parts.args:
            for name, default in arg.args:
                value = self._build_args.get(name)
                if value is None and default is not None:
                    value = self._expand(default, known, arg)
                if value is not None:
                    known[name] = value
        return known

    def _expand(self, text: str, variables: dict[str, str], where: Arg | From) -> str:
        try:
            return Expander(variables, self._document.escape).word(text)
        except LaminaError as error:
            raise error.at(where.node.location) from None

    def _source_date_epoch(self) -> int | None:
        text = self._build_args.get(SOURCE_DATE_EPOCH)
        if text is None:
            text = self._globals.get(SOURCE_DATE_EPOCH, "")
        return parse_epoch(text)

    def _stage(self, number: int, text: StageText) -> Stage:
        head = text.head
        place = head.node.location
        image = self._expand(head.image, self._globals, head)
        if not image:
            raise InvalidInput(
                f"base name ({head.image}) should not be blank",
                hint="give the ARG a default above the first FROM, or pass it with --build-arg",
                location=place,
            )
        stage = Stage(image, head=head, location=place)
        stage.label = head.name or f"stage-{number}"
        if head.platform:
            stage.platform = self._platform(head)
        if head.name:
            stage.context = self._bases.named_context(
                head.name, stage.platform or self._request.platform
            )
        names = [name.lower() for name in self._request.no_cache_stages]
        stage.ignore_cache = self._request.no_cache or (
            head.name in names if head.name else str(number) in names
        )
        return stage

    def _platform(self, head: From) -> Platform:
        text = self._expand(head.platform, self._globals, head)
        if not text:
            raise InvalidInput(
                f"empty platform value from expression {head.platform}",
                hint="write --platform=linux/amd64, $BUILDPLATFORM or $TARGETPLATFORM",
                location=head.node.location,
            )
        try:
            return parse_platform(text)
        except LaminaError as error:
            error.reason = f"failed to parse platform {head.platform}: {error.reason}"
            raise error.at(head.node.location) from None

    def _link_stages(self) -> None:
        """Find who needs whom, and count the steps of each."""
        for stage, text in zip(list(self._table.all), self._parts.stages, strict=True):
            if stage.context is not None:
                stage.base = None
                continue
            stage.tasks = [link(stage, instruction, self._table) for instruction in text.body]
            stage.total = sum(isinstance(i, _LAYERED) for i in text.body)
            if stage.image != SCRATCH and stage.base is None:
                stage.total += 1
        check_circles(self._table.all)
        if len(self._table.all) == 1:
            self._table.all[0].label = ""

    def _resolve(self, target: Stage) -> set[Stage]:
        """Resolve all base images that are needed; ONBUILD triggers may add to what is."""
        while True:
            needed = reachable(target)
            for stage in list(self._table.all):
                if stage in needed and stage.base is None and not stage.resolved:
                    self._bases.resolve(stage, self._table)
            waiting = [s for s in self._table.all if s in needed and not s.triggers_read]
            for stage in waiting:
                stage.triggers_read = True
                if not stage.done:
                    self._add_triggers(stage)
            if not waiting:
                return needed

    def _add_triggers(self, stage: Stage) -> None:
        if stage.base is not None:
            instructions = (task.instruction for task in stage.base.tasks)
            triggers = [i.trigger for i in instructions if isinstance(i, OnBuild)]
        else:
            assert stage.config is not None
            triggers = list(stage.config.settings.pop("OnBuild", ()))
        tasks = []
        for trigger in triggers:
            try:
                nodes = parse_document(trigger, self._text.filename).nodes
                if len(nodes) != 1:
                    raise InvalidInput("onbuild trigger should be a single expression")
                node = nodes[0]._replace(location=stage.location)
                instruction = parse_instruction(node, "\\")
                if isinstance(instruction, (From, OnBuild, Maintainer)):
                    raise InvalidInput(f"{node.keyword} isn't allowed as an ONBUILD trigger")
                task = link(stage, instruction, self._table)
            except LaminaError as error:
                error.location = stage.location
                error.reason = f'ONBUILD trigger "{trigger.strip()}": {error.reason}'
                raise
            tasks.append(task._replace(triggered=True))
            stage.total += isinstance(instruction, _LAYERED)
        stage.tasks[:0] = tasks

    def _settings(self) -> Settings:
        request = self._request
        return Settings(
            build_args=self._build_args,
            global_args=self._globals,
            escape=self._document.escape,
            platform=request.platform,
            epoch=self._epoch,
            source=self._source,
            proxy=proxy_args(self._build_args),
            network=request.network,
            hostname=self._build_args.get(SANDBOX_HOSTNAME) or request.hostname,
            cgroup_parent=request.cgroup_parent,
            extra_hosts=request.extra_hosts,
            shm_size=request.shm_size,
            ulimits=request.ulimits,
            cache_namespace=self._build_args.get(CACHE_NAMESPACE, ""),
        )

    def _result(self, target: Stage) -> FrontendResult:
        config = target.config
        assert config is not None
        if self._request.labels:
            config.set_labels(self._request.labels)
        wanted = self._request.platform
        if self._request.platform_given or not config.platform.architecture:
            same = config.platform[:2] == wanted[:2]
            config.platform = wanted._replace(
                variant=wanted.variant or (config.platform.variant if same else ""),
                os_version=wanted.os_version or (config.platform.os_version if same else ""),
                os_features=wanted.os_features or config.platform.os_features,
            )
        config.platform = normalise(config.platform)
        definition = None if target.tree is None else marshal(encode(target.tree))
        return FrontendResult(
            definition, config.to_bytes(), config.platform, target.base_config, self._epoch
        )
