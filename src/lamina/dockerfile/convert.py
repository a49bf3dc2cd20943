"""One stage to LLB: its instructions in order, each on the state that the last one left."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, LaminaError
from lamina.dockerfile.args import is_proxy, parse_args
from lamina.dockerfile.expand import Expander
from lamina.dockerfile.instruction import (
    check_keyword,
    one_argument,
    parse_command,
    parse_health_check,
    parse_json_words,
    parse_pairs,
    parse_strings,
)
from lamina.dockerfile.lexer import parse_document
from lamina.llb.op import (
    DESCRIPTION_NAME,
    NO_INPUT,
    FileAction,
    FileOp,
    LLBPlatform,
    MkDirAction,
    Op,
    OpMetadata,
    SourceInfo,
)
from lamina.llb.state import Edge, Vertex

if TYPE_CHECKING:
    from lamina.dockerfile.build import Build
    from lamina.dockerfile.image_config import ImageConfig
    from lamina.dockerfile.lexer import Node
    from lamina.dockerfile.stage import Stage

_LAYERED = frozenset(("RUN", "COPY", "ADD", "WORKDIR"))


class StageConversion:
    """A stage being converted. `state` is its file system so far, None while it is empty."""

    def __init__(
        self,
        build: Build,
        stage: Stage,
        state: Edge | None,
        config: ImageConfig,
        args: dict[str, str],
    ) -> None:
        self.build = build
        self.stage = stage
        self.state = state
        self.config = config
        self.args = args
        self.declared: dict[str, str] = {}
        self._position = 1
        self._total = 1 + sum(node.keyword in _LAYERED for node in stage.body)

    def run(self, triggers: tuple[str, ...]) -> None:
        """Convert the base's ONBUILD triggers, then the stage's own instructions."""
        nodes: list[Node] = []
        for trigger in triggers:
            document = parse_document(trigger, "ONBUILD")
            nodes.extend(
                node._replace(location=self.stage.node.location) for node in document.nodes
            )
        self._total += sum(node.keyword in _LAYERED for node in nodes)
        for node in (*nodes, *self.stage.body):
            check_keyword(node)
            try:
                self._convert(node)
            except LaminaError as error:
                raise error.at(node.location) from None

    def expander(self) -> Expander:
        """Variables as instructions see them: ENV wins over ARG."""
        variables = dict(self.declared)
        for entry in self.config.env:
            name, _, value = entry.partition("=")
            variables[name] = value
        return Expander(variables, self.build.document.escape)

    def run_env(self) -> tuple[str, ...]:
        """The environment of a RUN: the image's, and declared args that it does not set."""
        env = self.config.env
        names = {entry.partition("=")[0] for entry in env}
        extra = [
            f"{name}={value}"
            for name, value in self.declared.items()
            if name not in names and not is_proxy(name)
        ]
        return (*env, *extra)

    def name_step(self, text: str) -> str:
        """The step's display name: `[stage 3/7] RUN …`."""
        self._position += 1
        prefix = f"{self.stage.label} " if self.build.several_stages else ""
        return f"[{prefix}{self._position}/{self._total}] {text}"

    def vertex(self, op: Op, parents: tuple[Edge, ...], name: str, node: Node) -> Vertex:
        """A vertex with its name, its place in the text, and the cache switched off if asked."""
        platform = self.build.request.platform
        location = node.location
        return Vertex(
            op._replace(platform=LLBPlatform(platform.architecture, platform.os, platform.variant)),
            parents,
            OpMetadata(
                ignore_cache=self.build.ignores_cache(self.stage),
                description=((DESCRIPTION_NAME, name),),
            ),
            SourceInfo(location.filename, location.text.encode("utf-8", "surrogateescape")),
            ((location.start, location.end),),
        )

    def _convert(self, node: Node) -> None:
        match node.keyword:
            case "RUN":
                from lamina.dockerfile.convert_run import convert_run

                convert_run(self, node)
            case "COPY" | "ADD":
                from lamina.dockerfile.convert_copy import convert_copy

                convert_copy(self, node)
            case "ARG":
                self._arg(node)
            case "ENV":
                expander = self.expander()
                pairs = [
                    (expander.word(name), expander.word(value))
                    for name, value in parse_pairs(node, self.build.document.escape)
                ]
                for name, value in pairs:
                    self.config.set_env(name, value)
                self._note("ENV " + " ".join(f"{name}={value}" for name, value in pairs))
            case "LABEL":
                expander = self.expander()
                labels = dict(self.config.settings.get("Labels") or {})
                written = []
                for name, value in parse_pairs(node, self.build.document.escape):
                    key, text = expander.word(name), expander.word(value)
                    labels[key] = text
                    written.append(f"{key}={text}")
                self.config.settings["Labels"] = dict(sorted(labels.items()))
                self._note("LABEL " + " ".join(written))
            case "WORKDIR":
                self._workdir(node)
            case "USER":
                user = self.expander().word(one_argument(node))
                self.config.settings["User"] = user
                self._note(f"USER {user}")
            case "EXPOSE":
                ports = _ports(self.expander().words(one_argument(node)), node)
                self.config.add_to_set("ExposedPorts", ports)
                self._note(f"EXPOSE {_set_text(ports)}")
            case "VOLUME":
                expander = self.expander()
                volumes = tuple(
                    expander.word(v) for v in parse_strings(node, self.build.document.escape)
                )
                if not all(volumes) or not volumes:
                    raise InvalidInput("VOLUME specified can not be an empty string")
                self.config.add_to_set("Volumes", volumes)
                self._note(f"VOLUME [{' '.join(volumes)}]")
            case "CMD" | "ENTRYPOINT":
                self._command(node)
            case "SHELL":
                words = parse_json_words(node.rest)
                if not words:
                    raise InvalidInput(
                        "SHELL requires the arguments to be in JSON form",
                        hint='write SHELL ["/bin/bash", "-c"]',
                    )
                self.config.settings["Shell"] = list(words)
                self._note(f"SHELL [{' '.join(words)}]")
            case "STOPSIGNAL":
                signal = self.expander().word(one_argument(node))
                self.config.settings["StopSignal"] = signal
                self._note(f"STOPSIGNAL {signal}")
            case "HEALTHCHECK":
                self._health_check(node)
            case "ONBUILD":
                self._on_build(node)
            case "MAINTAINER":
                self.config.set_author(one_argument(node))
                self._note(f"MAINTAINER {node.rest}")

    def _note(self, text: str) -> None:
        self.config.add_history(text, layer=False)

    def _arg(self, node: Node) -> None:
        written = []
        for name, default in parse_args(node, self.expander(), self.build.document.escape):
            value = self.args.get(name)
            if value is None:
                value = self.build.global_value(name) if default is None else default
            written.append(name if value is None else f"{name}={value}")
            if value is not None:
                self.declared[name] = value
        self._note("ARG " + " ".join(written))

    def _workdir(self, node: Node) -> None:
        path = self.expander().word(one_argument(node))
        path = posixpath.normpath(posixpath.join(self.config.working_dir, path))
        path = "/" + path.lstrip("/")
        self.config.settings["WorkingDir"] = path
        name = self.name_step(f"WORKDIR {path}")
        if path == "/":
            self._note(f"WORKDIR {path}")
            return
        action = FileAction(
            input=0 if self.state is not None else NO_INPUT,
            secondary_input=NO_INPUT,
            mkdir=MkDirAction(path=path, mode=0o755, make_parents=True, timestamp=-1),
        )
        parents = () if self.state is None else (self.state,)
        self.state = self.vertex(Op(file=FileOp((action,))), parents, name, node).output()
        self.config.add_history(f"WORKDIR {path}", layer=True)

    def _command(self, node: Node) -> None:
        command = parse_command(node)
        words = (*self.config.shell, *command.args) if command.shell else command.args
        key = "Cmd" if node.keyword == "CMD" else "Entrypoint"
        if key == "Entrypoint" and not self._own_command:
            self.config.settings.pop("Cmd", None)
        if key == "Cmd":
            self._own_command = True
            self.config.settings["ArgsEscaped"] = True
        self.config.settings[key] = list(words)
        shown = " ".join(f'"{word}"' for word in words)
        self._note(f"{node.keyword} [{shown}]")

    _own_command = False

    def _health_check(self, node: Node) -> None:
        check = parse_health_check(node)
        test = list(check.test)
        health: dict[str, object] = {"Test": test}
        for key, value in (
            ("Interval", check.interval),
            ("Timeout", check.timeout),
            ("StartPeriod", check.start_period),
            ("StartInterval", check.start_interval),
            ("Retries", check.retries),
        ):
            if value:
                health[key] = value
        self.config.settings["Healthcheck"] = health
        self._note(f"HEALTHCHECK {' '.join(node.flags)} {node.rest}".replace("  ", " "))

    def _on_build(self, node: Node) -> None:
        trigger = one_argument(node)
        keyword = trigger.split(None, 1)[0].upper()
        if keyword in ("ONBUILD", "FROM", "MAINTAINER"):
            raise InvalidInput(f"{keyword} isn't allowed as an ONBUILD trigger")
        check_keyword(node._replace(keyword=keyword))
        text = " ".join((*node.flags, trigger))
        for heredoc in node.heredocs:
            text += f"\n{heredoc.content}{heredoc.name}"
        triggers = [*(self.config.settings.get("OnBuild") or []), text]
        self.config.settings["OnBuild"] = triggers
        self._note(f"ONBUILD {trigger}")


def _ports(words: list[str], node: Node) -> tuple[str, ...]:
    """`80`, `80/udp`, `8000-8010/tcp` as `port/protocol`, ranges spelled out."""
    found: list[str] = []
    for word in words:
        numbers, _, protocol = word.partition("/")
        first, dash, last = numbers.rpartition(":")[2].partition("-")
        protocol = protocol.lower() or "tcp"
        if (
            not first.isdecimal()
            or (dash and not last.isdecimal())
            or protocol not in ("tcp", "udp", "sctp")
        ):
            raise InvalidInput(f"invalid containerPort: {word}", location=node.location)
        end = int(last) if dash else int(first)
        if end < int(first) or end > 65535:
            raise InvalidInput(f"invalid containerPort: {word}", location=node.location)
        found.extend(f"{port}/{protocol}" for port in range(int(first), end + 1))
    return tuple(found)


def _set_text(names: tuple[str, ...]) -> str:
    return "[" + " ".join(names) + "]"
