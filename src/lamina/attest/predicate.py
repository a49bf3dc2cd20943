"""SLSA's provenance predicates, v1 and v0.2, with BuildKit's extensions.

BuildKit's `docs/attestations/slsa-definitions.md` describes the fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.attest.invocation import commit_digest, request_of
from lamina.base.named_tuple import NamedTuple
from lamina.base.platform import host_platform
from lamina.base.times import format_time
from lamina.dockerfile.syntax import LANGUAGE_VERSION
from lamina.exporters.purl import image_purl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.attest.contract import FrontendCall
    from lamina.attest.invocation import ConfigSource
    from lamina.attest.materials import Materials
    from lamina.attest.options import ProvenanceOptions
    from lamina.sources.material import BlobMaterial

PREDICATE_TYPES = {
    "v1": "https://slsa.dev/provenance/v1",
    "v0.2": "https://slsa.dev/provenance/v0.2",
}
_BUILD_TYPE_1 = "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md"
_BUILD_TYPE_02 = "https://mobyproject.org/buildkit@v1"
_COMPATIBILITY = 30
"""The version of BuildKit with equal results."""
_DOCKERFILE = "dockerfile.v0"


class ProvenanceFacts(NamedTuple):
    """The facts of a predicate, independent of the version of SLSA.

    `steps` and `texts` are results of `build_steps`, `layers` are descriptors by step and output;
    times are in seconds. `environment` are fields that the administrator adds.
    """

    call: FrontendCall | None
    materials: Materials
    invocation: str
    started: float
    finished: float
    build_config: dict[str, Any] | None = None
    texts: dict[str, Any] | None = None
    layers: Mapping[str, Any] = {}
    environment: Mapping[str, Any] = {}


class _Content(NamedTuple):
    """The parts that both versions have.

    `source` and `request` are the frontend call. `whole_request` says that it contains all
    attributes. `metadata` are BuildKit's extensions. Times are in RFC 3339.
    """

    source: ConfigSource
    request: dict[str, Any]
    whole_request: bool
    dependencies: list[dict[str, Any]]
    metadata: dict[str, Any]
    hermetic: bool
    started: str
    finished: str
    platform: str
    dockerfile: bool


def predicate(facts: ProvenanceFacts, options: ProvenanceOptions) -> dict[str, Any]:
    """The document, for the requested version."""
    content = _content(facts, full=options.mode != "min")
    return (_v02 if options.version == "v0.2" else _v1)(facts, options, content)


def _content(facts: ProvenanceFacts, *, full: bool) -> _Content:
    call, vcs = request_of(facts.call, facts.materials).without_vcs()
    whole_request = bool(call.frontend) and (full or not call.private)
    if not full:
        call = call.scrubbed()
    request = call.asked()
    for name, values in (("secrets", facts.materials.secrets), ("ssh", facts.materials.agents)):
        if values and full:
            request[name] = [{"id": i, **({"optional": True} if o else {})} for i, o in values]
    if facts.materials.folders:
        request["locals"] = [{"name": name} for name in facts.materials.folders]
    request.update(call.around())
    request["compatibilityVersion"] = _COMPATIBILITY
    metadata = {"vcs": vcs, "source": facts.texts, "layers": facts.layers}
    return _Content(
        call.source,
        request,
        whole_request,
        _dependencies(facts.materials),
        {key: value for key, value in metadata.items() if value},
        facts.materials.complete and not facts.materials.network,
        format_time(facts.started),
        format_time(facts.finished),
        str(host_platform()),
        facts.call is not None and facts.call.frontend == _DOCKERFILE,
    )


def _v1(facts: ProvenanceFacts, options: ProvenanceOptions, content: _Content) -> dict[str, Any]:
    internal: dict[str, Any] = {"builderPlatform": content.platform}
    if facts.build_config is not None:
        internal["buildConfig"] = facts.build_config
    if content.dockerfile:
        internal["dockerfileVersion"] = LANGUAGE_VERSION
    dependencies = content.dependencies
    return {
        "buildDefinition": {
            "buildType": _BUILD_TYPE_1,
            **({"resolvedDependencies": dependencies} if dependencies else {}),
            "externalParameters": {
                "configSource": content.source.to_json(),
                "request": content.request,
            },
            "internalParameters": _sorted({**internal, **facts.environment}),
        },
        "runDetails": {
            "builder": {"id": options.builder_id},
            "metadata": {
                "invocationId": facts.invocation,
                "startedOn": content.started,
                "finishedOn": content.finished,
                "buildkit_metadata": content.metadata,
                **({"buildkit_hermetic": True} if content.hermetic else {}),
                "buildkit_completeness": {
                    "request": content.whole_request,
                    "resolvedDependencies": facts.materials.complete,
                },
                **({"buildkit_reproducible": True} if options.reproducible else {}),
            },
        },
    }


def _v02(facts: ProvenanceFacts, options: ProvenanceOptions, content: _Content) -> dict[str, Any]:
    environment = {"platform": content.platform}
    if content.dockerfile:
        environment = {"dockerfileVersion": LANGUAGE_VERSION, **environment}
    dependencies = content.dependencies
    return {
        "builder": {"id": options.builder_id},
        "buildType": _BUILD_TYPE_02,
        **({"materials": dependencies} if dependencies else {}),
        "invocation": {
            "configSource": content.source.to_json("entryPoint"),
            "parameters": content.request,
            "environment": _sorted({**environment, **facts.environment}),
        },
        **({"buildConfig": facts.build_config} if facts.build_config is not None else {}),
        "metadata": {
            "buildInvocationID": facts.invocation,
            "buildStartedOn": content.started,
            "buildFinishedOn": content.finished,
            "completeness": {
                "parameters": content.whole_request,
                "environment": True,
                "materials": facts.materials.complete,
            },
            "reproducible": options.reproducible,
            f"{_BUILD_TYPE_02}#metadata": content.metadata,
            **({f"{_BUILD_TYPE_02}#hermetic": True} if content.hermetic else {}),
        },
    }


def _dependencies(materials: Materials) -> list[dict[str, Any]]:
    found = [
        {
            "uri": image_purl(image.name, image.platform, "oci" if image.local else "docker"),
            "digest": {image.digest.algorithm: image.digest.hex},
        }
        for image in materials.images
    ]
    found += [_blob(blob, ("ref_type", "blob")) for blob in materials.blobs]
    for git in materials.git:
        found.append({"uri": git.url, "digest": commit_digest(git.commit)})
        if git.bundle is not None:
            # BuildKit records only the name.
            bundle = git.bundle._replace(name=git.bundle.name.rpartition("@")[0])
            found.append(_blob(bundle, ("ref_type", "bundle"), ("vcs_url", git.url)))
    found += [
        {"uri": http.url, "digest": {http.digest.algorithm: http.digest.hex}}
        for http in materials.http
    ]
    return found


def _blob(blob: BlobMaterial, *qualifiers: tuple[str, str]) -> dict[str, Any]:
    uri = image_purl(blob.name, None, "oci" if blob.local else "docker", qualifiers)
    return {"uri": uri, "digest": {blob.digest.algorithm: blob.digest.hex}}


def _sorted(value: Any) -> Any:
    """Sort all keys, like Go's maps."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
