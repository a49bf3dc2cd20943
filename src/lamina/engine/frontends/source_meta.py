"""Metadata of sources, for frontends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.api.sourcemeta import (
    ChecksumAlgorithm,
    ChecksumRequest,
    ChecksumResponse,
    ResolveSourceGitResponse,
    ResolveSourceHTTPResponse,
    ResolveSourceImageResponse,
    ResolveSourceMetaRequest,
    ResolveSourceMetaResponse,
)
from lamina.api.timestamp import at_nanoseconds
from lamina.attest.attestation_chain import attestation_chain
from lamina.base.errors import InvalidInput
from lamina.base.redact import redacted
from lamina.base.reference import parse_reference
from lamina.engine.steps import step
from lamina.llb.platform import op_platform
from lamina.ops.resolve import RESOLVE_MODE
from lamina.sources.image import ResolveMode
from lamina.sources.material import ImageMaterial

if TYPE_CHECKING:
    from lamina.engine.frontends.contract import SourceContext
    from lamina.llb.op import SourceOp

_MAX_SUFFIX = 4096


def resolve_source_meta(
    build: SourceContext, request: ResolveSourceMetaRequest
) -> ResolveSourceMetaResponse:
    """Resolve a source without downloading it, if possible.

    Raises InvalidInput, NotFound, Unavailable, Unsupported.
    """
    source = request.source
    if source is None:
        raise InvalidInput("source is required")
    scheme, _, place = source.identifier.partition("://")
    name = request.log_name or f"resolve image config for {redacted(source.identifier)}"
    match scheme:
        case "docker-image" | "oci-layout":
            with step(name, build.events):
                image = _image(build, request, scheme, place)
            return ResolveSourceMetaResponse(source, image=image)
        case "git":
            with step(name, build.events):
                return ResolveSourceMetaResponse(source, git=_git(build, request, place))
        case "http" | "https":
            with step(name, build.events):
                return ResolveSourceMetaResponse(source, http=_http(build, request, source))
    return ResolveSourceMetaResponse(source)


def _image(
    build: SourceContext, request: ResolveSourceMetaRequest, scheme: str, place: str
) -> ResolveSourceImageResponse:
    assert request.source is not None
    attrs = dict(request.source.attrs)
    platform = op_platform(request.platform, build.platform)
    wanted = request.image
    chain = None
    if scheme == "oci-layout":
        found = build.sources.layout(place, attrs, platform, build.session).resolve(build.cancel)
    else:
        mode = request.resolve_mode or attrs.get(RESOLVE_MODE, "")
        resolver, reference = build.resolver(ResolveMode.parse(mode)), parse_reference(place)
        found = resolver.resolve(reference, platform, build.cancel)
        if wanted is not None and (wanted.attestation_chain or wanted.resolve_attestations):
            predicates = wanted.resolve_attestations
            chain = attestation_chain(resolver, reference, found, predicates, build.cancel)
    build.note(ImageMaterial(place, platform, found.digest, local=scheme == "oci-layout"))
    config = b"" if wanted is not None and wanted.no_config else found.config
    return ResolveSourceImageResponse(str(found.digest), config, chain)


def _git(
    build: SourceContext, request: ResolveSourceMetaRequest, place: str
) -> ResolveSourceGitResponse:
    assert request.source is not None
    source = build.sources.git(place, dict(request.source.attrs), build)
    remote = source.remote
    remote.resolve(build.cancel)
    objects: tuple[bytes, bytes] = (b"", b"")
    if request.git is not None and request.git.return_object:
        objects = remote.objects(build.cancel)
    return ResolveSourceGitResponse(remote.commit, remote.name, remote.peeled, *objects)


def _http(
    build: SourceContext, request: ResolveSourceMetaRequest, source: SourceOp
) -> ResolveSourceHTTPResponse:
    found = build.sources.http(source.identifier, dict(source.attrs), build)
    download = found.bring(build.cancel)
    modified = at_nanoseconds(download.modified_ns) if download.modified_ns else None
    wanted = request.http.checksum_request if request.http is not None else None
    checksum = None if wanted is None else _checksum(found.data(download), wanted)
    return ResolveSourceHTTPResponse(str(download.digest), found.name(download), modified, checksum)


def _checksum(path: str, wanted: ChecksumRequest) -> ChecksumResponse:
    """The digest of a file and a suffix. Signatures of files are made over it."""
    import hashlib

    if len(wanted.suffix) > _MAX_SUFFIX:
        raise InvalidInput(f"http checksum request suffix exceeds max size {_MAX_SUFFIX}")
    try:
        algorithm = ChecksumAlgorithm(wanted.algorithm).name.lower()
    except ValueError:
        raise InvalidInput(f"unsupported checksum algorithm {wanted.algorithm}") from None
    with open(path, "rb") as file:
        hashed = hashlib.file_digest(file, algorithm)
    hashed.update(wanted.suffix)
    return ChecksumResponse(f"{algorithm}:{hashed.hexdigest()}", wanted.suffix)
