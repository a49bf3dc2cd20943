"""Whether a build may have a source: by its policies, and by a client that is asked about each."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Protocol

from lamina.api.policysession import CheckPolicyRequest
from lamina.api.sourcemeta import ResolveSourceMetaResponse
from lamina.api.sourcepolicy import PolicyAction
from lamina.base.errors import InvalidInput, LaminaError, SourceDenied
from lamina.base.redact import redacted
from lamina.base.reference import parse_reference
from lamina.engine.source_policy import SourcePolicies
from lamina.llb.op import Op, SourceOp
from lamina.llb.platform import llb_platform
from lamina.system.threads import in_parallel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamina.api.policysession import CheckPolicyResponse
    from lamina.api.sourcemeta import ResolveSourceMetaRequest
    from lamina.api.sourcepolicy import Policy
    from lamina.base.platform import Platform
    from lamina.base.reference import Reference
    from lamina.engine.build import Build
    from lamina.system.cancel import Cancellation

_QUESTIONS = 10
_AT_ONCE = 8
_IMAGE = "docker-image://"


class Verifier(Protocol):
    """A client that judges sources."""

    def check_policy(self, request: CheckPolicyRequest, /) -> CheckPolicyResponse:
        """Raises Unavailable, and what the client says."""
        ...


class Judge:
    """Judges the sources of one build.

    Args:
        further: policies of the frontend that asks, besides the build's own.
    """

    def __init__(self, build: Build, further: Sequence[Policy] = ()) -> None:
        self._build = build
        options = build.options
        self._policies = SourcePolicies([*options.policies, *further])
        self._verifier = options.verifier

    def judge(self, op: Op) -> Op:
        """What an op becomes. Raises PermissionDenied, InvalidInput, Unavailable."""
        if op.source is None:
            return op
        try:
            return self._judge(op, op.source, _QUESTIONS)
        except LaminaError as error:
            during = error.during or "error evaluating the source policy"
            raise error.with_context(during=during) from error

    def judge_all(self, ops: Mapping[str, Op]) -> dict[str, Op]:
        """What ops become, by whatever they go by; a client may be asked about all at once."""
        found: dict[str, Op] = {}

        def judge(name: str, _: Cancellation) -> None:
            found[name] = self.judge(ops[name])

        in_parallel(list(ops), judge, _AT_ONCE, self._build.cancel)
        return found

    def judge_image(self, reference: Reference, platform: Platform) -> Reference | None:
        """What an image's name becomes for a frontend that is about to look at it; None if it is
        no image any more."""
        source = SourceOp(f"{_IMAGE}{reference}")
        judged = self.judge(Op(source=source, platform=llb_platform(platform))).source
        assert judged is not None
        if judged.identifier == source.identifier:
            return reference
        if not judged.identifier.startswith(_IMAGE):
            return None
        return parse_reference(judged.identifier.removeprefix(_IMAGE))

    def _judge(self, op: Op, source: SourceOp, questions: int) -> Op:
        whole = _normalised(source)
        judged = self._policies.judge(whole)
        allowed = op if judged == whole else op._replace(source=judged)
        if self._verifier is None:
            return allowed
        known = ResolveSourceMetaResponse(judged)
        while questions > 0:
            questions -= 1
            answer = self._verifier.check_policy(CheckPolicyRequest(op.platform, known))
            if answer.request is not None:
                known = self._look_up(judged, answer.request)
                continue
            decision = answer.decision
            if decision is None:
                raise InvalidInput("no decision in policy response")
            if decision.action == PolicyAction.CONVERT:
                if decision.update is None:
                    raise InvalidInput("convert action requires updated source")
                return self._judge(op._replace(source=decision.update), decision.update, questions)
            if decision.action != PolicyAction.ALLOW:
                messages = tuple(told.message for told in decision.deny_messages)
                raise SourceDenied(
                    f'source "{redacted(judged.identifier)}" not allowed by policy: action '
                    f"{_action_name(decision.action)}",
                    messages,
                )
            return allowed
        raise InvalidInput("too many policy requests")

    def _look_up(
        self, source: SourceOp, request: ResolveSourceMetaRequest
    ) -> ResolveSourceMetaResponse:
        """What the client wants to know of a source before it decides."""
        from lamina.engine.frontends.source_meta import resolve_source_meta

        asked = request.source
        if asked is None or asked.identifier != source.identifier:
            other = "" if asked is None else asked.identifier
            raise InvalidInput(
                f'policy requested different source identifier: "{other}" != "{source.identifier}"'
            )
        if dict(asked.attrs) != dict(source.attrs):
            raise InvalidInput("policy requested different source attrs")
        return resolve_source_meta(self._build, request)


def _normalised(source: SourceOp) -> SourceOp:
    """With an image's name whole and a repository's folder clean: rules are for those."""
    scheme, _, place = source.identifier.partition("://")
    if scheme == "docker-image":
        return source._replace(identifier=f"{_IMAGE}{parse_reference(place)}")
    if scheme == "git":
        remote, sharp, rest = place.partition("#")
        ref, colon, folder = rest.partition(":")
        folder = posixpath.normpath(f"/{folder}").lstrip("/")
        return source._replace(identifier=f"git://{remote}{sharp}{ref}{colon}{folder}")
    return source


def _action_name(action: int) -> str:
    try:
        return PolicyAction(action).name
    except ValueError:
        return str(action)
