"""The gateway's messages about sources: metadata of images, repositories and URLs."""

from __future__ import annotations

from enum import IntEnum

from lamina.api import descriptor, sourcepolicy, timestamp
from lamina.api.descriptor import Descriptor
from lamina.api.sourcepolicy import Policy
from lamina.api.timestamp import Timestamp
from lamina.base.named_tuple import NamedTuple
from lamina.llb import codec
from lamina.llb.op import LLBPlatform, SourceOp
from lamina.wire.fields import boolean, data, integer, many, mapping, one, string, strings
from lamina.wire.protobuf import Kind, Schema


class ResolveImageConfigRequest(NamedTuple):
    """A request for an image configuration. `resolver_type` 0 is a registry; 1 an OCI layout,
    `store_id` of session `session_id`."""

    ref: str = ""
    platform: LLBPlatform | None = None
    resolve_mode: str = ""
    log_name: str = ""
    resolver_type: int = 0
    session_id: str = ""
    store_id: str = ""
    source_policies: tuple[Policy, ...] = ()


class ResolveImageConfigResponse(NamedTuple):
    digest: str = ""
    config: bytes = b""
    ref: str = ""


class Blob(NamedTuple):
    descriptor: Descriptor | None = None
    data: bytes = b""


class AttestationChain(NamedTuple):
    """The digests of the blobs that connect an image with its attestations; `blobs` by digest."""

    root: str = ""
    image_manifest: str = ""
    attestation_manifest: str = ""
    signature_manifests: tuple[str, ...] = ()
    blobs: tuple[tuple[str, Blob], ...] = ()


class ResolveSourceImageRequest(NamedTuple):
    no_config: bool = False
    attestation_chain: bool = False
    resolve_attestations: tuple[str, ...] = ()


class ResolveSourceImageResponse(NamedTuple):
    digest: str = ""
    config: bytes = b""
    attestation_chain: AttestationChain | None = None


class ResolveSourceGitRequest(NamedTuple):
    return_object: bool = False


class ResolveSourceGitResponse(NamedTuple):
    """A resolved git source. `checksum` is the object of the ref: for an annotated tag, the tag
    object."""

    checksum: str = ""
    ref: str = ""
    commit_checksum: str = ""
    commit_object: bytes = b""
    tag_object: bytes = b""


class ChecksumAlgorithm(IntEnum):
    SHA256 = 0
    SHA384 = 1
    SHA512 = 2


class ChecksumRequest(NamedTuple):
    """A request for the digest of a download with `suffix` appended."""

    algorithm: ChecksumAlgorithm = ChecksumAlgorithm.SHA256
    suffix: bytes = b""


class ChecksumResponse(NamedTuple):
    digest: str = ""
    suffix: bytes = b""


class ResolveSourceHTTPRequest(NamedTuple):
    checksum_request: ChecksumRequest | None = None


class ResolveSourceHTTPResponse(NamedTuple):
    checksum: str = ""
    filename: str = ""
    last_modified: Timestamp | None = None
    checksum_response: ChecksumResponse | None = None


class ResolveSourceMetaRequest(NamedTuple):
    source: SourceOp | None = None
    platform: LLBPlatform | None = None
    log_name: str = ""
    resolve_mode: str = ""
    git: ResolveSourceGitRequest | None = None
    image: ResolveSourceImageRequest | None = None
    http: ResolveSourceHTTPRequest | None = None
    source_policies: tuple[Policy, ...] = ()


class ResolveSourceMetaResponse(NamedTuple):
    source: SourceOp | None = None
    image: ResolveSourceImageResponse | None = None
    git: ResolveSourceGitResponse | None = None
    http: ResolveSourceHTTPResponse | None = None


SCHEMA: Schema = (
    codec.SCHEMA
    | descriptor.SCHEMA
    | sourcepolicy.SCHEMA
    | timestamp.SCHEMA
    | {
        ResolveImageConfigRequest: (
            string(1, "ref"),
            one(2, "platform", LLBPlatform),
            string(3, "resolve_mode"),
            string(4, "log_name"),
            integer(5, "resolver_type"),
            string(6, "session_id"),
            string(7, "store_id"),
            many(8, "source_policies", Policy),
        ),
        ResolveImageConfigResponse: (string(1, "digest"), data(2, "config"), string(3, "ref")),
        Blob: (one(1, "descriptor", Descriptor), data(2, "data")),
        AttestationChain: (
            string(1, "root"),
            string(2, "image_manifest"),
            string(3, "attestation_manifest"),
            strings(4, "signature_manifests"),
            mapping(5, "blobs", Kind.MESSAGE, Blob),
        ),
        ResolveSourceImageRequest: (
            boolean(1, "no_config"),
            boolean(2, "attestation_chain"),
            strings(3, "resolve_attestations"),
        ),
        ResolveSourceImageResponse: (
            string(1, "digest"),
            data(2, "config"),
            one(3, "attestation_chain", AttestationChain),
        ),
        ResolveSourceGitRequest: (boolean(1, "return_object"),),
        ResolveSourceGitResponse: (
            string(1, "checksum"),
            string(2, "ref"),
            string(3, "commit_checksum"),
            data(4, "commit_object"),
            data(5, "tag_object"),
        ),
        ChecksumRequest: (integer(1, "algorithm", ChecksumAlgorithm), data(2, "suffix")),
        ChecksumResponse: (string(1, "digest"), data(2, "suffix")),
        ResolveSourceHTTPRequest: (one(1, "checksum_request", ChecksumRequest),),
        ResolveSourceHTTPResponse: (
            string(1, "checksum"),
            string(2, "filename"),
            one(3, "last_modified", Timestamp),
            one(4, "checksum_response", ChecksumResponse),
        ),
        ResolveSourceMetaRequest: (
            one(1, "source", SourceOp),
            one(2, "platform", LLBPlatform),
            string(3, "log_name"),
            string(4, "resolve_mode"),
            one(5, "git", ResolveSourceGitRequest),
            one(6, "image", ResolveSourceImageRequest),
            one(7, "http", ResolveSourceHTTPRequest),
            many(8, "source_policies", Policy),
        ),
        ResolveSourceMetaResponse: (
            one(1, "source", SourceOp),
            one(2, "image", ResolveSourceImageResponse),
            one(3, "git", ResolveSourceGitResponse),
            one(4, "http", ResolveSourceHTTPResponse),
        ),
    }
)
