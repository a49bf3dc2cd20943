"""`moby.buildkit.v1.sourcepolicy.policysession.PolicyVerifier`: a client that decides about
sources."""

from __future__ import annotations

from lamina.api import sourcemeta
from lamina.api.sourcemeta import ResolveSourceMetaRequest, ResolveSourceMetaResponse
from lamina.api.sourcepolicy import PolicyAction
from lamina.base.named_tuple import NamedTuple
from lamina.llb.op import LLBPlatform, SourceOp
from lamina.wire.fields import integer, many, mapping, one, string
from lamina.wire.protobuf import Kind, Schema

SERVICE = "moby.buildkit.v1.sourcepolicy.policysession.PolicyVerifier"
CHECK_POLICY = f"/{SERVICE}/CheckPolicy"


class CheckPolicyRequest(NamedTuple):
    platform: LLBPlatform | None = None
    source: ResolveSourceMetaResponse | None = None
    caps: tuple[tuple[str, bool], ...] = ()


class DenyMessage(NamedTuple):
    message: str = ""


class DecisionResponse(NamedTuple):
    action: int = PolicyAction.ALLOW
    deny_messages: tuple[DenyMessage, ...] = ()
    update: SourceOp | None = None


class CheckPolicyResponse(NamedTuple):
    """A decision, or a request for more metadata; one of the two."""

    decision: DecisionResponse | None = None
    request: ResolveSourceMetaRequest | None = None


SCHEMA: Schema = sourcemeta.SCHEMA | {
    CheckPolicyRequest: (
        one(1, "platform", LLBPlatform),
        one(2, "source", ResolveSourceMetaResponse),
        mapping(3, "caps", Kind.BOOL),
    ),
    DenyMessage: (string(1, "message"),),
    DecisionResponse: (
        integer(1, "action"),
        many(2, "deny_messages", DenyMessage),
        one(3, "update", SourceOp),
    ),
    CheckPolicyResponse: (
        one(1, "decision", DecisionResponse),
        one(2, "request", ResolveSourceMetaRequest),
    ),
}
