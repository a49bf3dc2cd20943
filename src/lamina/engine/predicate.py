"""SLSA's provenance predicates, v1 and v0.2, with what BuildKit adds to them.

BuildKit's `docs/attestations/slsa-definitions.md` describes the fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lamina import __version__
from lamina.base.git_url import is_git_url, parse_git_url
from lamina.base.platform import host_platform
from lamina.base.times import format_time
from lamina.engine.materials import redacted
from lamina.exporters.purl import image_purl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.engine.attest_options import ProvenanceOptions
    from lamina.engine.materials import Materials
    from lamina.engine.result import FrontendCall

PREDICATE_TYPES = {
    "v1": "https://slsa.dev/provenance/v1",
    "v0.2": "https://slsa.dev/provenance/v0.2",
}
_BUILD_TYPE_1 = "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md"
_BUILD_TYPE_02 = "https://mobyproject.org/buildkit@v1"
_COMPATIBILITY = 30
"""The version of BuildKit's results that these are."""
_HOST_SPECIFIC = ("cgroup-parent", "image-resolve-mode", "platform", "cache-imports")
_PRIVATE = ("build-arg:", "label:")
_DOCKERFILE = "dockerfile.v0"
_VERSION = f"lamina-{__version__}"


class ConfigSource(NamedTuple):
    """Where the build's definition came from: a remote context, and the file's name in it."""

    uri: str = ""
    digest: Mapping[str, str] = {}
    path: str = ""

    def to_json(self, path: str) -> dict[str, Any]:
        fields = {"uri": self.uri, "digest": dict(self.digest), path: self.path}
        return {key: value for key, value in fields.items() if value}


class Told(NamedTuple):
    """All that a predicate tells, before it takes the shape of a version of SLSA.

    `steps` and `texts` come of `build_steps`, `layers` are descriptors by step and output;
    times are in seconds.
    """

    call: FrontendCall | None
    materials: Materials
    invocation: str
    started: float
    finished: float
    build_config: dict[str, Any] | None = None
    texts: dict[str, Any] | None = None
    layers: Mapping[str, Any] = {}


def predicate(told: Told, options: ProvenanceOptions) -> dict[str, Any]:
    """The document, for the wanted version."""
    source, request, vcs, whole = _request(told.call, told.materials, options.mode == "min")
    for name, values in (("secrets", told.materials.secrets), ("ssh", told.materials.agents)):
        if values and options.mode != "min":
            request[name] = [{"id": i, **({"optional": True} if o else {})} for i, o in values]
    if told.materials.folders:
        request["locals"] = [{"name": name} for name in told.materials.folders]
    if told.call is not None and told.call.root is not None:
        root, asked, _, all_of_it = _request(told.call.root, told.materials, options.mode == "min")
        whole = whole and all_of_it
        if asked:
            request["root"] = {"configSource": root.to_json("path"), "request": asked}
    request["compatibilityVersion"] = _COMPATIBILITY
    metadata = {
        key: value
        for key, value in (("vcs", vcs), ("source", told.texts), ("layers", told.layers))
        if value
    }
    hermetic = told.materials.complete and not told.materials.network
    dependencies = _dependencies(told.materials)
    started, finished = format_time(told.started), format_time(told.finished)
    platform = str(host_platform())
    frontend = told.call.frontend if told.call is not None else ""
    if options.version == "v0.2":
        environment = {"platform": platform}
        if frontend == _DOCKERFILE:
            environment = {"dockerfileVersion": _VERSION, **environment}
        config = {"buildConfig": told.build_config} if told.build_config is not None else {}
        return {
            "builder": {"id": options.builder_id},
            "buildType": _BUILD_TYPE_02,
            **({"materials": dependencies} if dependencies else {}),
            "invocation": {
                "configSource": source.to_json("entryPoint"),
                "parameters": request,
                "environment": environment,
            },
            **config,
            "metadata": {
                "buildInvocationID": told.invocation,
                "buildStartedOn": started,
                "buildFinishedOn": finished,
                "completeness": {
                    "parameters": whole,
                    "environment": True,
                    "materials": told.materials.complete,
                },
                "reproducible": options.reproducible,
                f"{_BUILD_TYPE_02}#metadata": metadata,
                **({f"{_BUILD_TYPE_02}#hermetic": True} if hermetic else {}),
            },
        }
    internal: dict[str, Any] = {"builderPlatform": platform}
    if told.build_config is not None:
        internal["buildConfig"] = told.build_config
    if frontend == _DOCKERFILE:
        internal["dockerfileVersion"] = _VERSION
    return {
        "buildDefinition": {
            "buildType": _BUILD_TYPE_1,
            **({"resolvedDependencies": dependencies} if dependencies else {}),
            "externalParameters": {"configSource": source.to_json("path"), "request": request},
            "internalParameters": _sorted(internal),
        },
        "runDetails": {
            "builder": {"id": options.builder_id},
            "metadata": {
                "invocationId": told.invocation,
                "startedOn": started,
                "finishedOn": finished,
                "buildkit_metadata": metadata,
                **({"buildkit_hermetic": True} if hermetic else {}),
                "buildkit_completeness": {
                    "request": whole,
                    "resolvedDependencies": told.materials.complete,
                },
                **({"buildkit_reproducible": True} if options.reproducible else {}),
            },
        },
    }


def _request(
    call: FrontendCall | None, materials: Materials, scrubbed: bool
) -> tuple[ConfigSource, dict[str, Any], dict[str, str], bool]:
    """A frontend's call: the config source, the rest, what is said of version control, and
    whether nothing was left out. `scrubbed` leaves out arguments and labels."""
    if call is None:
        return ConfigSource(), {}, {}, False
    args = _recorded(call.attrs)
    key = "context"
    if args.get("contextkey"):
        key = args["contextkey"]
    elif args.get("input:context"):
        key = "input:context"
    source = ConfigSource()
    if context := args.get(key, ""):
        del args[key]
        source = _config_source(context, materials)
    if filename := args.get("filename", ""):
        del args["filename"]
        source = source._replace(path=filename)
    vcs = {}
    for name in [name for name in args if name.startswith("vcs:")]:
        value = args.pop(name)
        if value:
            vcs[name.removeprefix("vcs:")] = redacted(value) if name == "vcs:source" else value
    private = [name for name in args if name.startswith(_PRIVATE)]
    if scrubbed:
        for name in private:
            del args[name]
    request: dict[str, Any] = {"frontend": call.frontend} if call.frontend else {}
    if args:
        request["args"] = dict(sorted(args.items()))
    return source, request, dict(sorted(vcs.items())), not (scrubbed and private)


def _recorded(attrs: Mapping[str, str]) -> dict[str, str]:
    """A frontend's attributes, but for those that depend on this machine alone."""
    key = attrs.get("contextkey") or "context"
    return {
        name: redacted(value) if name == key or name.startswith("context:") else value
        for name, value in attrs.items()
        if name not in _HOST_SPECIFIC and not name.startswith("attest:")
    }


def _config_source(context: str, materials: Materials) -> ConfigSource:
    if is_git_url(context):
        url = parse_git_url(context)
        ref = f"#{url.ref}" if url.ref else ""
        folder = f"{ref or '#'}:{url.folder}" if url.folder else ref
        for git in materials.git:
            if git.url == url.remote + ref:
                return ConfigSource(url.remote + folder, _commit(git.commit))
    for http in materials.http:
        if http.url == context:
            return ConfigSource(http.url, {http.digest.algorithm: http.digest.hex})
    return ConfigSource(redacted(context))


def _dependencies(materials: Materials) -> list[dict[str, Any]]:
    found = [
        {
            "uri": image_purl(image.name, image.platform, "oci" if image.local else "docker"),
            "digest": {image.digest.algorithm: image.digest.hex},
        }
        for image in materials.images
    ]
    found += [{"uri": git.url, "digest": _commit(git.commit)} for git in materials.git]
    found += [
        {"uri": http.url, "digest": {http.digest.algorithm: http.digest.hex}}
        for http in materials.http
    ]
    return found


def _sorted(value: Any) -> Any:
    """With all keys in order, which is how Go writes what it has read into a map."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _commit(name: str) -> dict[str, str]:
    return {"sha256" if len(name) == 64 else "sha1": name}
