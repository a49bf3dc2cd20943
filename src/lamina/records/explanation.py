"""Explains why steps of a build missed the cache, by comparing it with earlier builds.

A step is compared with its counterpart in the latest earlier build that looked it up. If their keys
are equal, the result is missing. Otherwise an input of the keys differs: the operation, the content
that it reads, or the key of another step, which has its own causes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lamina.base.named_tuple import NamedTuple
from lamina.base.redact import redacted
from lamina.records.causes import (
    CacheIgnored,
    CacheLacks,
    CredentialsChanged,
    DependsOn,
    DownloadChanged,
    Explanation,
    FilesChanged,
    InputReplaced,
    NeverBuilt,
    NewStep,
    NotCompleted,
    NotRecorded,
    OnlyThisBuild,
    RefMoved,
    ResultMissing,
    ResultPruned,
    RootCause,
    SourceMoved,
    StepMoved,
    StepRemoved,
    TextChanged,
    Unexplained,
)
from lamina.records.matching import is_local, label_of, match_steps, operations, source_name
from lamina.records.op_changes import Variables, op_changes
from lamina.solver.lookup import manifest_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lamina.records.causes import Cause
    from lamina.records.content_changes import ContentChanges
    from lamina.records.recorded_build import RecordedBuild
    from lamina.records.steps import Step
    from lamina.solver.lookup import KeyPart


class BuildHistory(Protocol):
    """The builds to compare a build with."""

    def earlier(self, index: int) -> RecordedBuild | None:
        """An earlier build of the same target, 0 for the latest. None if there is none."""
        ...

    def removed_at(self, key: str) -> float | None:
        """The time when the result of a key was removed (seconds since the epoch), if it was."""
        ...

    def compare(self, before: str, after: str) -> ContentChanges | None:
        """The differences between two contents, by digest; None if one is not known."""
        ...


class _Known(NamedTuple):
    """A step's counterpart in an earlier build, by the number of the build."""

    number: int
    step: Step


class Explainer:
    """Explains the steps of one build.

    Raises the errors of `history`.
    """

    def __init__(self, build: RecordedBuild, history: BuildHistory) -> None:
        self._build = build
        self._history = history
        self._steps = {step.digest: step for step in build.steps}
        self._earlier: dict[int, Mapping[str, Step]] = {}
        self._counterparts: dict[int, Mapping[str, Step]] = {}
        self._causes: dict[tuple[str, int], tuple[tuple[Cause, ...], int]] = {}

    def explain(self, step: Step) -> Explanation:
        """Why a step of the build missed the cache."""
        causes, index = self._own(step, 0)
        compared = self._history.earlier(index) if index >= 0 else None
        roots = tuple(dict.fromkeys(self._roots(step)))
        return Explanation(step, causes, roots, "" if compared is None else compared.ref)

    def counterparts(self) -> Mapping[str, Step]:
        """The steps of the latest earlier build that are the same instructions, changed or not, by
        the digests of this build's steps."""
        return self._matched(0)

    def differences(self, step: Step) -> tuple[Cause, ...]:
        """The differences from the step's counterpart in the latest earlier build.

        Whether the step ran does not matter. Empty if there are none, or if there is no
        counterpart.
        """
        partner = self._matched(0).get(step.digest)
        if partner is None:
            return ()
        if step.lookup is None or partner.lookup is None:
            if step.op is not None and partner.op is not None:
                return op_changes(partner.op, step.op, self._variables(0))
            return self._instruction_changes(step)
        if step.lookup.key == partner.lookup.key:
            return ()
        return tuple(dict.fromkeys(self._changes(step, _Known(0, partner))))

    def last_run(self, step: Step) -> Step | None:
        """The latest counterpart in earlier builds that ran to its end."""
        index = 0
        while self._history.earlier(index) is not None:
            partner = self._matched(index).get(step.digest)
            if partner is not None and partner.ran and partner.completed is not None:
                return None if partner.error else partner
            index += 1
        return None

    def _roots(self, step: Step) -> Iterator[RootCause]:
        """The causes that depend on no other step, nearest first."""
        waiting = [(step, 0)]
        seen = {step.digest}
        while waiting:
            current, least = waiting.pop(0)
            causes, index = self._own(current, least)
            inputs = {c.step.digest for c in causes if isinstance(c, DependsOn)}
            for cause in causes:
                if isinstance(cause, DependsOn):
                    if cause.step.digest not in seen:
                        seen.add(cause.step.digest)
                        waiting.append((cause.step, max(index, 0)))
                elif not (
                    isinstance(cause, FilesChanged)
                    and cause.source is not None
                    and cause.source.digest in inputs
                ):
                    yield RootCause(current, cause)

    def _own(self, step: Step, least: int) -> tuple[tuple[Cause, ...], int]:
        """The causes of a step's miss, and the index of the compared build (-1 for none).

        Builds before `least` are not considered.
        """
        memory = (step.digest, least)
        found = self._causes.get(memory)
        if found is None:
            found = self._causes[memory] = self._find(step, least)
        return found

    def _find(self, step: Step, least: int) -> tuple[tuple[Cause, ...], int]:
        lookup = step.lookup
        if lookup is None:
            return self._unrecorded(step), 0
        if lookup.ignored:
            return (CacheIgnored(),), -1
        known = self._known(step, least)
        if known is None:
            return self._unknown(step, least)
        before = known.step.lookup
        assert before is not None
        if lookup.key == before.key and not lookup.ephemeral:
            return self._missing(step, known), known.number
        changes = tuple(dict.fromkeys(self._changes(step, known)))
        if not changes and lookup.ephemeral:
            changes = (OnlyThisBuild(),)
        if not changes:  # the key has another name: its result was an alias of a pruned one
            removed = self._history.removed_at(before.key)
            changes = (Unexplained(),) if removed is None else (ResultPruned(removed),)
        return changes, known.number

    def _unrecorded(self, step: Step) -> tuple[Cause, ...]:
        """The causes of a miss whose key the builder did not record.

        Digests prove nothing: those of steps that read the context differ in every build of a
        buildkitd.
        """
        if self._history.earlier(0) is None:
            return (NeverBuilt(),)
        return self._instruction_changes(step) or (NotRecorded(),)

    def _instruction_changes(self, step: Step) -> tuple[Cause, ...]:
        partner = self._matched(0).get(step.digest)
        if partner is None:
            return (NewStep(),)
        before, after = label_of(partner.name).text, label_of(step.name).text
        changed: list[Cause] = []
        if before != after:
            changed.append(TextChanged("instruction", before, after))
        changed += map(DependsOn, filter(self._is_edited, operations(self._inputs(step))))
        return tuple(changed)

    def _is_edited(self, step: Step) -> bool:
        """Whether the instruction or one before it differs from the earlier build."""
        waiting, seen = [step], {step.digest}
        for current in waiting:
            partner = self._matched(0).get(current.digest)
            if partner is None or label_of(partner.name).text != label_of(current.name).text:
                return True
            for source in operations(self._inputs(current)):
                if source.digest not in seen:
                    seen.add(source.digest)
                    waiting.append(source)
        return False

    def _inputs(self, step: Step) -> list[Step]:
        return [self._steps[digest] for digest in step.inputs if digest in self._steps]

    def _unknown(self, step: Step, least: int) -> tuple[tuple[Cause, ...], int]:
        """The causes of a step that no earlier build has looked up."""
        assert step.lookup is not None
        if self._history.earlier(least) is None:
            if self._build.imports:
                return (CacheLacks(step.lookup.recorded),), -1
            return (NeverBuilt(),), -1
        if step.digest in self._matched(least):
            return (NeverBuilt(),), least  # the builds ended before it
        changed: list[Cause] = [NewStep()]
        counterparts = self._matched(least)
        for part in step.lookup.parts:
            source = self._steps.get(part.vertex)
            if source is not None and not is_local(source):
                partner = counterparts.get(part.vertex)
                if partner is None or _key(partner) != _key(source):
                    changed.append(DependsOn(source))
        return tuple(dict.fromkeys(changed)), least

    def _missing(self, step: Step, known: _Known) -> tuple[Cause, ...]:
        """The causes of a miss under a key that the counterpart had, too."""
        assert step.lookup is not None
        if step.lookup.hit and step.cached:
            return ()
        removed = self._history.removed_at(step.lookup.key)
        before = known.step
        if removed is not None and removed >= (before.completed or 0.0):
            return (ResultPruned(removed),)
        if not before.cached and (before.error or before.completed is None):
            earlier = self._history.earlier(known.number)
            assert earlier is not None
            stopped = before.completed is None or "context canceled" in before.error
            return (NotCompleted(earlier.ref, not stopped),)
        if removed is not None:
            return (ResultPruned(removed),)
        if self._build.imports and before.lookup is not None and before.lookup.origin:
            return (CacheLacks(known=True),)
        return (ResultMissing(),)

    def _changes(self, step: Step, known: _Known) -> Iterator[Cause]:
        before, lookup = known.step, step.lookup
        assert lookup is not None and before.lookup is not None
        own: tuple[Cause, ...] = ()
        if step.op is not None and before.op is not None:
            own = op_changes(before.op, step.op, self._variables(known.number))
        one, other = before.lookup, lookup
        if (one.operation, one.unexported) != (other.operation, other.unexported):
            yield from own
            if not own:
                yield _hidden_change(before, step)
        elif [part.selector for part in one.parts] != [part.selector for part in other.parts]:
            yield from own
        counterparts = self._matched(known.number)
        aligned, left = self._align(lookup.parts, before.lookup.parts, counterparts)
        for part, counterpart in aligned:
            yield from self._part(step, part, counterpart, known)
        taken = {partner.digest for partner in counterparts.values()}
        steps = self._earlier[known.number]
        for unused in left:
            if unused.vertex not in taken and unused.vertex in steps:
                yield StepRemoved(steps[unused.vertex].name)

    def _align(
        self,
        parts: Sequence[KeyPart],
        before: Sequence[KeyPart],
        counterparts: Mapping[str, Step],
    ) -> tuple[list[tuple[KeyPart, KeyPart | None]], list[KeyPart]]:
        """The parts of a key, each with that of an earlier key, and the rest of the latter."""
        if len(parts) == len(before):
            return list(zip(parts, before, strict=True)), []
        left = list(before)
        aligned: list[tuple[KeyPart, KeyPart | None]] = []
        for index, part in enumerate(parts):
            partner = counterparts.get(part.vertex)
            names = "" if partner is None else partner.digest
            same = [p for p in left if p.vertex == names and p.selector == part.selector]
            same += [p for p in left if p.vertex == names]
            # The file system built on, which --link adds or removes.
            first = index == 0 and left and before[0] is left[0]
            alike = first and part.by_content == before[0].by_content
            other = same[0] if same else (left[0] if alike else None)
            if other is not None:
                left.remove(other)
            aligned.append((part, other))
        return aligned, left

    def _part(
        self, step: Step, part: KeyPart, before: KeyPart | None, known: _Known
    ) -> Iterator[Cause]:
        """The causes by which one input changed the key."""
        source = self._steps.get(part.vertex)
        if source is None or (before is not None and before == part):
            return
        partner = self._matched(known.number).get(part.vertex)
        if before is None:
            if not is_local(source) and (partner is None or _key(partner) != _key(source)):
                yield DependsOn(source)
            return
        if part.by_content:
            yield from self._content(step, part, before, known)
            return
        if part.digest == before.digest or before.by_content:
            return
        if partner is not None and partner.digest == before.vertex:
            yield DependsOn(source)
            return
        if partner is None or _key(partner) != _key(source):
            yield DependsOn(source)
        yield from self._replaced(source, partner, before.vertex, known.number)

    def _content(
        self, step: Step, part: KeyPart, before: KeyPart, known: _Known
    ) -> Iterator[Cause]:
        source = self._steps[part.vertex]
        old = before.digest if before.by_content else self._content_before(step, part, known)
        if old == part.digest:
            return
        local = is_local(source)
        partner = self._matched(known.number).get(part.vertex)
        changed = partner is None or _key(partner) != _key(source)
        if not local and (changed or source.ran):
            yield DependsOn(source)
        if old or local or not changed:
            selector = before.selector if before.by_content else part.selector
            name = manifest_name(old, selector)
            changes = self._history.compare(name, part.content) if old else None
            if local or not changed or source_name(source) == "":
                yield FilesChanged(None if local else source, changes)

    def _content_before(self, step: Step, part: KeyPart, known: _Known) -> str:
        """The digest of what the counterpart read, from the build that computed it: a later one
        that found the result by the definition did not."""
        assert known.step.lookup is not None
        index = known.number + 1
        while (found := self._known(step, index)) is not None:
            lookup = found.step.lookup
            if lookup is not None and lookup.key == known.step.lookup.key:
                for other in lookup.parts:
                    if other.by_content and other.selector == part.selector:
                        return other.digest
            index = found.number + 1
        return ""

    def _replaced(
        self, source: Step, partner: Step | None, before: str, index: int
    ) -> Iterator[Cause]:
        """Why a step builds on `source` now, and not on the counterpart of what it built on."""
        counterparts = self._matched(index)
        taken = {other.digest for other in counterparts.values()}
        earlier = self._earlier[index]
        between: list[Step] = []
        walked: set[str] = set()
        current = earlier.get(before)
        while current is not None and current.digest not in walked:
            walked.add(current.digest)
            if partner is not None and current.digest == partner.digest:
                break
            if partner is None and current.digest in taken:
                break
            between.append(current)
            current = _below(current, earlier)
        if partner is None:
            yield from (StepRemoved(step.name) for step in between)
            return
        if current is not None:
            for step in between:
                yield StepMoved(step.name) if step.digest in taken else StepRemoved(step.name)
            return
        above = source
        walked = set()
        while above.digest not in walked:
            walked.add(above.digest)
            other = counterparts.get(above.digest)
            if other is not None and other.digest == before:
                yield StepMoved(source.name)
                return
            following = _below(above, self._steps)
            if following is None:
                break
            above = following
        replaced = earlier.get(before)
        yield InputReplaced("" if replaced is None else replaced.name, source.name)

    def _known(self, step: Step, least: int) -> _Known | None:
        """The latest counterpart from the build `least` on that was found or ran."""
        index = least
        while self._history.earlier(index) is not None:
            partner = self._matched(index).get(step.digest)
            if partner is not None and partner.lookup is not None and _had_result(partner):
                return _Known(index, partner)
            index += 1
        return None

    def _matched(self, index: int) -> Mapping[str, Step]:
        """The counterparts of the build's steps in an earlier build."""
        found = self._counterparts.get(index)
        if found is None:
            earlier = self._history.earlier(index)
            steps = () if earlier is None else earlier.steps
            self._earlier[index] = {step.digest: step for step in steps}
            found = self._counterparts[index] = match_steps(steps, self._build.steps)
        return found

    def _variables(self, index: int) -> Variables:
        earlier = self._history.earlier(index)
        texts = [self._build.dockerfile, "" if earlier is None else earlier.dockerfile]
        return Variables(texts)


def explained_steps(build: RecordedBuild) -> tuple[Step, ...]:
    """The steps of a build that ran and could have been cached, in the order of their start."""
    ran = [step for step in operations(build.steps) if step.ran and not is_local(step)]
    return tuple(sorted(ran, key=lambda step: step.started or 0.0))


def _hidden_change(before: Step, step: Step) -> Cause:
    """The causes for an operation that is equal in both records."""
    old, new = ("" if s.lookup is None else s.lookup.resolved for s in (before, step))
    if old and new and old != new:
        ref, _, commit = new.rpartition(" ")
        if ref:
            return RefMoved(ref, old.rpartition(" ")[2], commit)
        return DownloadChanged(redacted(source_name(step)), old, new)
    if "://xxxxx" in repr(step.op):
        return CredentialsChanged()
    return SourceMoved(source_name(step)) if source_name(step) else Unexplained()


def _had_result(step: Step) -> bool:
    """Whether a step was found in a cache, or at least began to run."""
    return step.started is not None or (step.lookup is not None and step.lookup.hit)


def _key(step: Step) -> str:
    return "" if step.lookup is None else step.lookup.key


def _below(step: Step, steps: Mapping[str, Step]) -> Step | None:
    """The step whose file system a step builds on."""
    return steps.get(step.inputs[0]) if step.inputs else None
