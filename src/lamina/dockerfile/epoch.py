"""SOURCE_DATE_EPOCH that is not a number: it names the source whose time it stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.digest import parse_digest
from lamina.base.errors import InvalidInput, LaminaError
from lamina.base.git_url import is_git_url, parse_git_url
from lamina.base.named_tuple import NamedTuple
from lamina.dockerfile.args import SOURCE_DATE_EPOCH
from lamina.dockerfile.expand import Expander
from lamina.dockerfile.instruction import Arg, Copy
from lamina.dockerfile.source_ops import git_source, url_source
from lamina.dockerfile.stage import SCRATCH
from lamina.llb.state import Vertex, marshal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamina.dockerfile.contract import Bridge, FrontendRequest
    from lamina.dockerfile.stage import StageText
    from lamina.llb.op import Op

_ONE = "SOURCE_DATE_EPOCH stage must contain exactly one remote ADD"


class EpochNames(NamedTuple):
    """The sources that SOURCE_DATE_EPOCH can name, and the variables for expanding its value."""

    request: FrontendRequest
    stages: Sequence[StageText]
    global_args: Mapping[str, str]
    escape: str

    def find(self, name: str, bridge: Bridge) -> int | None:
        """The time, in seconds since 1970, of `context` (the build context), of a named
        context, or of what a stage adds. None if it has none, like a directory.

        Raises InvalidInput, located if a stage is the cause, and errors of the source.
        """
        if name == "context":
            context = self.request.context
            if context.definition is None:
                return context.made_at
            return bridge.made_at(context.definition)
        for named in self.request.named_contexts:
            if named.name == name:
                return None if named.definition is None else bridge.made_at(named.definition)
        for stage in self.stages:
            if stage.head.name == name.lower():
                try:
                    op = self._added(stage)
                except LaminaError as error:
                    raise error.at(stage.head.node.location) from None
                return bridge.made_at(marshal(Vertex(op).output()))
        raise InvalidInput(
            f"invalid SOURCE_DATE_EPOCH: {name}",
            hint='it is a number of seconds since 1970, "context", or the name of a context or '
            "of a stage that only adds a URL",
        )

    def _added(self, stage: StageText) -> Op:
        """The source that a stage adds, if the stage does nothing else."""
        args = {k: v for k, v in self.global_args.items() if k != SOURCE_DATE_EPOCH}
        given = dict(self.request.options.build_args)
        if self._word(stage.head.image, args) != SCRATCH:
            raise InvalidInput("SOURCE_DATE_EPOCH stage must use FROM scratch")
        found: Op | None = None
        for instruction in stage.body:
            if isinstance(instruction, Arg):
                for name, default in instruction.args:
                    value = given.get(name)
                    if value is None and default is not None:
                        value = self._word(default, args)
                    if value is not None:
                        args[name] = value
            elif isinstance(instruction, Copy) and instruction.node.keyword == "ADD":
                if found is not None:
                    raise InvalidInput(_ONE)
                found = self._source_of(instruction, args)
            else:
                raise InvalidInput(
                    "SOURCE_DATE_EPOCH stage does not meet source-only requirements:"
                    f" unsupported {instruction.node.keyword} instruction"
                )
        if found is None:
            raise InvalidInput(_ONE)
        return found

    def _source_of(self, add: Copy, args: Mapping[str, str]) -> Op:
        if len(add.sources) != 1 or add.inline:
            raise InvalidInput(f"{_ONE} source")
        source = self._word(add.sources[0], args)
        checksum = self._word(add.checksum, args)
        if is_git_url(source):
            url = parse_git_url(source)
            return git_source(url, keep_git_dir=add.keep_git_dir, checksum=checksum)
        if source.startswith(("http://", "https://")):
            return url_source(source, str(parse_digest(checksum)) if checksum else "")
        raise InvalidInput("SOURCE_DATE_EPOCH stage source must be a single HTTP(S) or Git ADD")

    def _word(self, text: str, args: Mapping[str, str]) -> str:
        return Expander(args, self.escape).word(text)
