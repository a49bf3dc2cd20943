"""`Builder.explain`: why the steps of a build missed the cache, as values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.client.build_history import BuildHistory


class ExplainedStep(NamedTuple):
    """A step of a build, and why it missed the cache.

    `explanation` is one line, `causes` are the documents of `lamina explain --format json`, with
    `cause` (the kind) and `text`. `root_causes` are those that depend on no other step.
    `compared_with` is the ref of the earlier build, "" if there is none.
    """

    digest: str
    name: str
    cached: bool
    explanation: str
    causes: tuple[Mapping[str, Any], ...]
    root_causes: tuple[Mapping[str, Any], ...]
    compared_with: str


class BuildExplanation(NamedTuple):
    """The steps of a build that ran, with their causes.

    `keys_recorded` is False for builds of a buildkitd, which records no cache keys: then only
    instructions were compared.
    """

    ref: str
    keys_recorded: bool
    steps: tuple[ExplainedStep, ...]


def explain(history: BuildHistory, build: str, against: str | None, step: str) -> BuildExplanation:
    """Raises NotFound, and InvalidInput if the build still runs."""
    from lamina.cli.explain import explain_build, outcome_text
    from lamina.records.cause_documents import cause_document
    from lamina.records.recorded_build import keys_recorded

    recorded, explanations = explain_build(history, build, against=against, step=step)
    return BuildExplanation(
        recorded.ref,
        keys_recorded(recorded),
        tuple(
            ExplainedStep(
                each.step.digest,
                each.step.name,
                each.step.cached,
                outcome_text(each),
                tuple(map(cause_document, each.causes)),
                tuple({"step": r.step.digest, **cause_document(r.cause)} for r in each.roots),
                each.compared,
            )
            for each in explanations
        ),
    )
