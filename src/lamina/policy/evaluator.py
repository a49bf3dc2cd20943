"""Decides whether a build may use a source: by its policies, and by asking the client."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Protocol

from lamina.api.policysession import CheckPolicyRequest
from lamina.api.sourcemeta import ResolveSourceMetaResponse
from lamina.api.sourcepolicy import PolicyAction
from lamina.base.errors import InvalidInput, LaminaError, SourceDenied
from lamina.base.redact import redacted
from lamina.base.reference import parse_reference
from lamina.llb.op import Op, SourceOp
from lamina.llb.platform import llb_platform
from lamina.policy.rules import SourcePolicies
from lamina.system.threads import in_parallel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamina.api.policysession import CheckPolicyResponse
    from lamina.api.sourcemeta import ResolveSourceMetaRequest
    from lamina.api.sourcepolicy import Policy
    from lamina.base.platform import Platform
    from lamina.base.reference import Reference
    from lamina.system.cancel import Cancellation

_QUESTIONS = 10
_AT_ONCE = 8
_IMAGE = "docker-image://"


class Verifier(Protocol):
    """A client that decides about sources."""

    def check_policy(self, request: CheckPolicyRequest, /) -> CheckPolicyResponse:
        """Check a source. Raises Unavailable, and the client's errors."""
        ...


class SourceLookup(Protocol):
    """Resolves a source. Raises InvalidInput, NotFound, Unavailable."""

    def __call__(self, request: ResolveSourceMetaRequest, /) -> ResolveSourceMetaResponse: ...


class PolicyEvaluator:
    """Evaluates the sources of one build.

    Args:
        policies: applied in this order.
        verifier: the client that decides after the policies; None: only the policies decide.
        look_up: resolves a source, for the verifier.
    """

    def __init__(
        self,
        policies: Sequence[Policy],
        verifier: Verifier | None,
        look_up: SourceLookup,
        cancel: Cancellation,
    ) -> None:
        self._policies = SourcePolicies(policies)
        self._verifier = verifier
        self._resolve = look_up
        self._cancel = cancel

    def evaluate(self, op: Op) -> Op:
        """The op after evaluation, possibly converted. Raises PermissionDenied, InvalidInput,
        Unavailable."""
        if op.source is None:
            return op
        try:
            return self._evaluate(op, op.source, _QUESTIONS)
        except LaminaError as error:
            during = error.during or "error evaluating the source policy"
            raise error.with_context(during=during) from error

    def evaluate_all(self, ops: Mapping[str, Op]) -> dict[str, Op]:
        """The converted ops under the same keys. Requests to a client run concurrently."""
        found: dict[str, Op] = {}

        def evaluate(name: str, _: Cancellation) -> None:
            found[name] = self.evaluate(ops[name])

        in_parallel(list(ops), evaluate, _AT_ONCE, self._cancel)
        return found

    def evaluate_image(self, reference: Reference, platform: Platform) -> Reference | None:
        """The image that an image's name is converted to, for a frontend that reads it; None if it
        is converted to another kind of source."""
        source = SourceOp(f"{_IMAGE}{reference}")
        allowed = self.evaluate(Op(source=source, platform=llb_platform(platform))).source
        assert allowed is not None
        if allowed.identifier == source.identifier:
            return reference
        if not allowed.identifier.startswith(_IMAGE):
            return None
        return parse_reference(allowed.identifier.removeprefix(_IMAGE))

    def _evaluate(self, op: Op, source: SourceOp, questions: int) -> Op:
        whole = _normalised(source)
        converted = self._policies.evaluate(whole)
        allowed = op if converted == whole else op._replace(source=converted)
        if self._verifier is None:
            return allowed
        known = ResolveSourceMetaResponse(converted)
        while questions > 0:
            questions -= 1
            answer = self._verifier.check_policy(CheckPolicyRequest(op.platform, known))
            if answer.request is not None:
                known = self._look_up(converted, answer.request)
                continue
            decision = answer.decision
            if decision is None:
                raise InvalidInput("no decision in policy response")
            if decision.action == PolicyAction.CONVERT:
                if decision.update is None:
                    raise InvalidInput("convert action requires updated source")
                return self._evaluate(
                    op._replace(source=decision.update), decision.update, questions
                )
            if decision.action != PolicyAction.ALLOW:
                messages = tuple(denied.message for denied in decision.deny_messages)
                raise SourceDenied(
                    f'source "{redacted(converted.identifier)}" not allowed by policy: action '
                    f"{_action_name(decision.action)}",
                    messages,
                )
            return allowed
        raise InvalidInput("too many policy requests")

    def _look_up(
        self, source: SourceOp, request: ResolveSourceMetaRequest
    ) -> ResolveSourceMetaResponse:
        """The metadata of a source that the client requests before it decides."""
        asked = request.source
        if asked is None or asked.identifier != source.identifier:
            other = "" if asked is None else asked.identifier
            raise InvalidInput(
                f'policy requested different source identifier: "{other}" != "{source.identifier}"'
            )
        if dict(asked.attrs) != dict(source.attrs):
            raise InvalidInput("policy requested different source attrs")
        return self._resolve(request)


def _normalised(source: SourceOp) -> SourceOp:
    """The source with a full image name and a clean repository directory, which rules match."""
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
