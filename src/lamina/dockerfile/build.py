"""The entry point of the frontend: converts a request to a definition and an image
configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, LaminaError
from lamina.base.named_tuple import NamedTuple
from lamina.base.platform import normalise, parse_platform
from lamina.dockerfile.args import (
    CACHE_NAMESPACE,
    DOCKERFILE_CHECK,
    SANDBOX_HOSTNAME,
    SBOM_SCAN_CONTEXT,
    SBOM_SCAN_STAGE,
    SOURCE_DATE_EPOCH,
    parse_epoch,
    platform_args,
    proxy_args,
)
from lamina.dockerfile.bases import Bases
from lamina.dockerfile.checks.bases import check_defaults, check_platform_flag, check_undefined
from lamina.dockerfile.checks.checker import Checker
from lamina.dockerfile.checks.options import CheckOptions, parse_check_options
from lamina.dockerfile.checks.text import check_continuations, check_stages
from lamina.dockerfile.contract import FrontendResult
from lamina.dockerfile.convert import Conversion, Settings
from lamina.dockerfile.expand import Expander, ExpansionLimit
from lamina.dockerfile.graph import encode
from lamina.dockerfile.instruction import From, Maintainer, OnBuild
from lamina.dockerfile.lexer import parse_document
from lamina.dockerfile.parse import parse_instruction
from lamina.dockerfile.stage import Stage, read_stages
from lamina.dockerfile.stage_table import StageTable
from lamina.llb.op import SourceInfo
from lamina.llb.state import marshal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lamina.base.platform import Platform
    from lamina.dockerfile.contract import Bridge, DockerfileText, FrontendRequest, Warned
    from lamina.dockerfile.instruction import Arg
    from lamina.dockerfile.stage import StageText
    from lamina.dockerfile.stage_state import StageState
    from lamina.llb.op import Definition


class ConvertedStages(NamedTuple):
    """The target, and the final state of each stage that was converted."""

    target: Stage
    table: StageTable
    states: Mapping[Stage, StageState]


def build(requests: Sequence[FrontendRequest], bridge: Bridge) -> Iterator[FrontendResult]:
    """Convert the bridge's Dockerfile for each request. Requests differ only in their platforms.

    Warnings are reported once. Raises InvalidInput and NotFound, located.
    """
    warn: Callable[[Warned], None] = bridge.warn
    for request in requests:
        text = bridge.read_dockerfile()
        converter = DockerfileConverter(request, bridge, text, warn)
        yield converter.result(converter.convert())
        warn = _silent


def _silent(_: Warned) -> None:
    return


class DockerfileConverter:
    """Checks, parses and converts one Dockerfile for one request.

    Raises InvalidInput and NotFound, located. Before that, `warn` gets the warnings of checks.
    """

    def __init__(
        self,
        request: FrontendRequest,
        bridge: Bridge,
        text: DockerfileText,
        warn: Callable[[Warned], None],
    ) -> None:
        self._request = request
        self._text = text
        self._options = request.options
        self._build_args = dict(request.options.build_args)
        self._limit = ExpansionLimit()
        data = text.data.decode("utf-8", "surrogateescape")
        self._document = parse_document(data, text.filename)
        self._checker = Checker(self._check_options(), warn)
        check_continuations(self._document.blank_continuations, self._checker)
        self.parts = read_stages(self._document, self._checker)
        check_stages(self.parts.stages, self._checker)
        self._check_defaults()
        self.global_args = self._global_args(self._build_args)
        self._epoch = self._source_date_epoch(bridge)
        self._source = SourceInfo(text.filename, text.data, text.origin, "Dockerfile")
        self._bases = Bases(request, bridge, text, self._source, self._checker)
        self._table = StageTable()
        self._starts: dict[Stage, StageState] = {}

    @property
    def escape(self) -> str:
        """The escape character."""
        return self._document.escape

    def given(self, name: str) -> str | None:
        """A build argument's value, if the request has one."""
        return self._build_args.get(name)

    def convert(self, *, every_stage: bool = False) -> ConvertedStages:
        """Convert the target stage and all stages that it needs, or all stages."""
        table = self._table
        for number, text in enumerate(self.parts.stages):
            table.add(self._stage(number, text))
        target = table.target(self._options.target)
        table.link_all([text.body for text in self.parts.stages])
        needed = self._resolve(target, every_stage=every_stage)
        conversion = Conversion(self._settings(), self._bases, table, self._starts, self._checker)
        for stage in table.all:
            if (stage in needed or every_stage) and stage not in conversion.converted:
                conversion.run(stage)
                self._bases.context_paths |= conversion.converted[stage].context_paths
        self._checker.finish()
        return ConvertedStages(target, table, conversion.converted)

    def _check_options(self) -> CheckOptions:
        written = self._build_args.get(DOCKERFILE_CHECK)
        if written is None:
            # A directive can only be on the first lines.
            written = self._document.check
        return parse_check_options(written) if written else CheckOptions()

    def _check_defaults(self) -> None:
        try:
            defaults = self._global_args({})
        except InvalidInput:
            return  # it may be valid with the given arguments
        check_defaults(self.parts.stages, defaults, self.escape, self._checker)

    def _global_args(self, given: Mapping[str, str]) -> dict[str, str]:
        """Predefined arguments, and those that ARG lines above the first FROM add."""
        target = self._options.target or self.parts.stages[-1].head.name
        known = platform_args(self._request.platform, self._request.build_platform, target)
        known.update({k: v for k, v in self._build_args.items() if k in known})
        for arg in self.parts.args:
            for name, default in arg.args:
                value = given.get(name)
                if value is None and default is not None:
                    value = self._expand(self._expander(known), default, arg)
                if value is not None:
                    known[name] = value
        return known

    def _expander(self, variables: Mapping[str, str]) -> Expander:
        return Expander(variables, self.escape, limit=self._limit)

    def _expand(self, expander: Expander, text: str, where: Arg | From) -> str:
        try:
            return expander.word(text)
        except LaminaError as error:
            raise error.at(where.node.location) from None

    def _expand_head(self, head: From, text: str, checker: Checker) -> tuple[str, Expander]:
        """Expand a word of a FROM. Variables that no ARG declares are reported."""
        expander = self._expander(self.global_args)
        try:
            return self._expand(expander, text, head), expander
        finally:
            if expander.unset:
                check_undefined(expander.unset, self._known(), head.node.location, checker)

    def _known(self) -> list[str]:
        """The variables that may be used in a FROM."""
        declared = {name for arg in self.parts.args for name, _ in arg.args}
        return sorted(declared | self.global_args.keys())

    def _meant(self, expander: Expander) -> str:
        """A hint for an unset variable with a name similar to a known one, "" if there is none."""
        from lamina.dockerfile.suggest import nearest

        near = (nearest(name, self._known()) for name in sorted(expander.unset))
        return next((f"did you mean {name}?" for name in near if name), "")

    def _source_date_epoch(self, bridge: Bridge) -> int | None:
        """SOURCE_DATE_EPOCH in seconds. If it names a source, that source's time replaces it, also
        for steps."""
        given = SOURCE_DATE_EPOCH in self._build_args
        values = self._build_args if given else self.global_args
        text = values.get(SOURCE_DATE_EPOCH, "")
        epoch = parse_epoch(text)
        if text and epoch is None:
            from lamina.dockerfile.epoch import EpochNames

            names = EpochNames(self._request, self.parts.stages, self.global_args, self.escape)
            epoch = names.find(text, bridge)
            self.global_args.pop(SOURCE_DATE_EPOCH, None)
            values[SOURCE_DATE_EPOCH] = "" if epoch is None else str(epoch)
        return epoch

    def _stage(self, number: int, text: StageText) -> Stage:
        head = text.head
        place = head.node.location
        checker = self._checker.within(head.node.comments)
        image, _ = self._expand_head(head, head.image, checker)
        if not image:
            raise InvalidInput(
                f"base name ({head.image}) should not be blank",
                hint="give the ARG a default above the first FROM, or pass it with --build-arg",
                location=place,
            )
        platform = self._platform(head, checker) if head.platform else None
        context = None
        if head.name:
            context = self._bases.stage_context(head.name, platform or self._request.platform)
        names = [name.lower() for name in self._options.no_cache_filter]
        return Stage(
            image,
            head=head,
            location=place,
            label=head.name or f"stage-{number}",
            platform=platform,
            context=context,
            base=self._table.find(image) if context is None else None,
            ignore_cache=self._options.no_cache
            or (head.name in names if head.name else str(number) in names),
        )

    def _platform(self, head: From, checker: Checker) -> Platform:
        text, expander = self._expand_head(head, head.platform, checker)
        meant = self._meant(expander)
        check_platform_flag(head, text, expander, checker)
        if not text:
            raise InvalidInput(
                f"empty platform value from expression {head.platform}",
                hint=meant or "write --platform=linux/amd64, $BUILDPLATFORM or $TARGETPLATFORM",
                location=head.node.location,
            )
        try:
            return parse_platform(text)
        except LaminaError as error:
            reason = f"failed to parse platform {head.platform}: {error.reason}"
            described = error.with_context(reason=reason, hint=meant or error.hint)
            raise described.at(head.node.location) from None

    def _resolve(self, target: Stage, *, every_stage: bool) -> set[Stage]:
        """Resolve all base images that are needed. ONBUILD triggers may add more."""
        table = self._table
        visited: set[Stage] = set()
        while True:
            needed = table.reachable(target)
            for stage in tuple(table.all):
                wanted = stage in needed or every_stage
                if wanted and stage.base is None and stage not in self._starts:
                    self._starts[stage] = self._bases.resolve(stage, table)
            found = [s for s in table.all if s in needed and s not in visited]
            visited.update(found)
            for stage in found:
                if stage.has_instructions:
                    self._add_triggers(stage)
            if not found:
                return needed

    def _add_triggers(self, stage: Stage) -> None:
        table = self._table
        if stage.base is not None:
            instructions = (task.instruction for task in table.tasks.get(stage.base, ()))
            triggers = [i.trigger for i in instructions if isinstance(i, OnBuild)]
        else:
            triggers = list(self._starts[stage].config.settings.pop("OnBuild", ()))
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
                task = table.link(instruction)
            except LaminaError as error:
                reason = f'ONBUILD trigger "{trigger.strip()}": {error.reason}'
                raise error.with_context(reason=reason, location=stage.location) from error
            tasks.append(task._replace(triggered=True))
        table.tasks[stage] = (*tasks, *table.tasks[stage])

    def _settings(self) -> Settings:
        options = self._options
        return Settings(
            build_args=self._build_args,
            global_args=self.global_args,
            escape=self._document.escape,
            platform=self._request.platform,
            epoch=self._epoch,
            source=self._source,
            proxy=proxy_args(self._build_args),
            cache_namespace=self._build_args.get(CACHE_NAMESPACE, ""),
            options=options._replace(
                hostname=self._build_args.get(SANDBOX_HOSTNAME) or options.hostname
            ),
        )

    def result(self, converted: ConvertedStages) -> FrontendResult:
        """The result that the engine solves and exports."""
        target = converted.states[converted.target]
        # The target is needed as a whole, even if it is only a named context.
        target.needed.add("/")
        config = target.config
        if self._options.labels:
            config.set_labels(self._options.labels)
        wanted = self._request.platform
        if self._options.platforms or not config.platform.architecture:
            same = config.platform[:2] == wanted[:2]
            config.platform = wanted._replace(
                variant=wanted.variant or (config.platform.variant if same else ""),
                os_version=wanted.os_version or (config.platform.os_version if same else ""),
                os_features=wanted.os_features or config.platform.os_features,
            )
        config.platform = normalise(config.platform)
        definition = None if target.tree is None else marshal(encode(target.tree))
        scanned = self._scanned(converted)
        stages = [stage for stage in converted.states if stage.label in scanned]
        return FrontendResult(
            definition,
            config.to_bytes(),
            config.platform,
            target.base_config,
            self._epoch,
            tuple(scanned.items()),
            any(stage.ignore_cache for stage in (converted.target, *stages)),
        )

    def _scanned(self, converted: ConvertedStages) -> dict[str, Definition | None]:
        """The file systems that an SBOM covers in addition to the target."""
        from lamina.dockerfile.scanning import is_scanned

        found: dict[str, Definition | None] = {}
        target = converted.states[converted.target]
        if is_scanned(SBOM_SCAN_CONTEXT, target, self.global_args):
            context = self._bases.build_context
            found["context"] = None if context is None else marshal(encode(context))
        for stage in converted.table.reachable(converted.target) - {converted.target}:
            state = converted.states[stage]
            if stage.has_instructions and is_scanned(SBOM_SCAN_STAGE, state, self.global_args):
                found[stage.label] = None if state.tree is None else marshal(encode(state.tree))
        return found
