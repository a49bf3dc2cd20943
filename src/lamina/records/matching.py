"""Pairs the steps of two builds: those that are the same instruction, changed or not."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lamina.records.steps import Step

_LABEL = re.compile(r"\[(?P<label>[^\]]*)\] (?P<text>.*)", re.DOTALL)
_PLACE = re.compile(r"(?:(?P<platform>\S+/\S+) )?(?P<stage>.*?)\s*(?P<number>\d+/\d+)?")
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}")
_SIMILAR = 0.5


class StepLabel(NamedTuple):
    """The parts of a step's name: `[linux/arm64 build 2/3] RUN make`."""

    platform: str
    stage: str
    number: str
    text: str

    @property
    def keyword(self) -> str:
        return self.text.split(" ", 1)[0]


def label_of(name: str) -> StepLabel:
    match = _LABEL.fullmatch(name)
    if match is None:
        return StepLabel("", "", "", name)
    place = _PLACE.fullmatch(match["label"])
    assert place is not None
    return StepLabel(place["platform"] or "", place["stage"], place["number"] or "", match["text"])


def match_steps(before: Sequence[Step], after: Sequence[Step]) -> Mapping[str, Step]:
    """The counterparts in `before` of steps of `after`, by digest.

    Equal digests first, then equal sources, then equal texts in the order of a stage; the remaining
    ones between those are paired by keyword and similarity.
    """
    before, after = operations(before), operations(after)
    known = {step.digest: step for step in before}
    found: dict[str, Step] = {}
    rest: list[Step] = []
    for step in after:
        if step.digest in known:
            found[step.digest] = known.pop(step.digest)
        else:
            rest.append(step)
    _match_sources(known, rest, found)
    for old_steps, new_steps in _stages(_by_stage(before), _by_stage(after)):
        _match_stage(old_steps, new_steps, found)
    return found


def is_operation(step: Step) -> bool:
    """Whether it is looked up in the caches: exports, for example, are not."""
    return step.op is not None or step.lookup is not None


def operations(steps: Sequence[Step]) -> list[Step]:
    """The steps that are looked up in the caches.

    A buildkitd records neither operations nor keys. Of its builds these are the numbered
    instructions of the Dockerfile.
    """
    found = [step for step in steps if is_operation(step)]
    return found or [step for step in steps if label_of(step.name).number]


def source_name(step: Step) -> str:
    """The source that a source step reads, without a digest; "" for other steps."""
    if step.op is None or step.op.source is None:
        return ""
    return _DIGEST.sub("", step.op.source.identifier)


def is_local(step: Step) -> bool:
    """Whether it is a directory of the client, which each build reads again."""
    return source_name(step).startswith("local://")


def _match_sources(known: dict[str, Step], rest: Iterable[Step], found: dict[str, Step]) -> None:
    named = {_source_key(step): step for step in known.values() if source_name(step)}
    for step in rest:
        if source_name(step) and (partner := named.pop(_source_key(step), None)) is not None:
            found[step.digest] = partner


def _source_key(step: Step) -> tuple[str, object]:
    assert step.op is not None
    return source_name(step), step.op.platform


def _by_stage(steps: Iterable[Step]) -> dict[tuple[str, str], list[Step]]:
    stages: dict[tuple[str, str], list[Step]] = {}
    for step in steps:
        label = label_of(step.name)
        stages.setdefault((label.platform, label.stage), []).append(step)
    # Progress shows steps as they start; lines and numbers are the order of the Dockerfile.
    for members in stages.values():
        members.sort(key=lambda s: (_number(s), 0 if s.lines is None else s.lines.first))
    return stages


def _number(step: Step) -> int:
    number = label_of(step.name).number
    return int(number.split("/")[0]) if number else 0


def _stages(
    old: dict[tuple[str, str], list[Step]], new: dict[tuple[str, str], list[Step]]
) -> list[tuple[list[Step], list[Step]]]:
    pairs = [(old[name], new[name]) for name in new if name in old]
    left_old = [steps for name, steps in old.items() if name not in new]
    left_new = [steps for name, steps in new.items() if name not in old]
    for steps in reversed(left_new):  # the last stage is the target, whatever its name
        if left_old:
            best = max(left_old, key=lambda other: _shared(other, steps))
            left_old.remove(best)
            pairs.append((best, steps))
    return pairs


def _shared(one: Iterable[Step], other: Iterable[Step]) -> int:
    return len({_text(step) for step in one} & {_text(step) for step in other})


def _text(step: Step) -> str:
    return _DIGEST.sub("", label_of(step.name).text)


def _match_stage(old: list[Step], new: list[Step], found: dict[str, Step]) -> None:
    taken = {partner.digest for partner in found.values()}
    tokens_old = [s.digest if s.digest in taken else _text(s) for s in old]
    tokens_new = [found[s.digest].digest if s.digest in found else _text(s) for s in new]
    blocks = SequenceMatcher(None, tokens_old, tokens_new, autojunk=False).get_opcodes()
    for tag, i1, i2, j1, j2 in blocks:
        if tag == "equal":
            for partner, step in zip(old[i1:i2], new[j1:j2], strict=True):
                if step.digest not in found and partner.digest not in taken:
                    found[step.digest] = partner
                    taken.add(partner.digest)
    # Steps that moved within the stage.
    left = {_text(step): step for step in reversed(old) if step.digest not in taken}
    for step in new:
        if step.digest not in found and (same := left.pop(_text(step), None)) is not None:
            found[step.digest] = same
            taken.add(same.digest)
    for tag, i1, i2, j1, j2 in blocks:
        if tag == "replace":
            removed = [step for step in old[i1:i2] if step.digest not in taken]
            added = [step for step in new[j1:j2] if step.digest not in found]
            for partner, step in _similar(removed, added):
                found[step.digest] = partner


def _similar(removed: list[Step], added: list[Step]) -> list[tuple[Step, Step]]:
    """Pair steps with the same keyword in order: all if their number is the same."""
    if [_keyword(s) for s in removed] == [_keyword(s) for s in added]:
        return list(zip(removed, added, strict=True))
    pairs = []
    rest = list(removed)
    for step in added:
        scored = [
            (SequenceMatcher(None, _text(other), _text(step)).ratio(), -index)
            for index, other in enumerate(rest)
            if _keyword(other) == _keyword(step)
        ]
        if scored and max(scored)[0] >= _SIMILAR:
            index = -max(scored)[1]
            pairs.append((rest[index], step))
            rest = rest[index + 1 :]
    return pairs


def _keyword(step: Step) -> str:
    return label_of(step.name).keyword
