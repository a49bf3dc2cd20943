"""The Dockerfile frontend's attributes, as clients of BuildKit's API write them.

They are a map of strings: `filename`, `target`, `platform`, `build-arg:NAME`, `label:NAME`,
`context:NAME`, … (BuildKit's `frontend/dockerui`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.booleans import parse_bool
from lamina.base.errors import InvalidInput, MissingCapability
from lamina.base.named_tuple import NamedTuple
from lamina.base.platform import host_platform, parse_platform
from lamina.dockerfile.contract import FrontendRequest
from lamina.dockerfile.options import prefixed, read_options

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lamina.base.platform import Platform

_CAPABILITIES = frozenset(
    f"moby.buildkit.frontend.{name}"
    for name in ("inputs", "subrequests", "contexts", "gitquerystring")
)


class DockerfileAttributes(NamedTuple):
    """The attributes as values.

    `request` is for the first platform, without its contexts. `several` is set if the result
    belongs in an index. `contexts` are (name, address). `folder_sessions` are the sessions of
    local directories that the build's own session does not provide. `subrequest` is a question to
    answer instead of a build.
    """

    request: FrontendRequest
    platforms: tuple[Platform, ...]
    several: bool
    filename: str = "Dockerfile"
    dockerfile_key: str = ""
    context: str = ""
    context_subdir: str = ""
    keep_git_dir: bool = False
    contexts: tuple[tuple[str, str], ...] = ()
    shared_keys: tuple[tuple[str, str], ...] = ()
    folder_sessions: tuple[tuple[str, str], ...] = ()
    input_metadata: tuple[tuple[str, str], ...] = ()
    syntax: str = ""
    subrequest: str = ""
    cache_imports: tuple[dict[str, str], ...] = ()

    def requests(self) -> tuple[FrontendRequest, ...]:
        """One for each platform."""
        return tuple(self.request._replace(platform=platform) for platform in self.platforms)


def is_several(
    platforms: int, build_args: Iterable[tuple[str, str]], multi_platform: str = ""
) -> bool:
    """Whether the result is an index of platforms, even with only one. Raises InvalidInput."""
    wanted = dict(build_args).get("BUILDKIT_MULTI_PLATFORM") or multi_platform
    if not wanted:
        return platforms > 1
    chosen = _boolean("multi-platform", wanted)
    if platforms > 1 and not chosen:
        raise InvalidInput("conflicting config: returning multiple target platforms is not allowed")
    return chosen


def read_attributes(attrs: Mapping[str, str]) -> DockerfileAttributes:
    """Read the attributes. Raises InvalidInput, Unsupported, MissingCapability."""
    _check_capabilities(attrs.get("frontend.caps", ""))
    options = read_options(attrs)
    args = dict(options.build_args)
    platforms = tuple(map(parse_platform, options.platforms))
    several = is_several(len(platforms), options.build_args, attrs.get("multi-platform", ""))
    here = host_platform()
    request = FrontendRequest(
        options,
        platform=platforms[0] if platforms else here,
        build_platform=here,
        several=several,
    )
    return DockerfileAttributes(
        request=request,
        platforms=platforms or (here,),
        several=several,
        filename=attrs.get("filename") or "Dockerfile",
        dockerfile_key=attrs.get("dockerfilekey", ""),
        context=attrs.get(attrs.get("contextkey", "context"), ""),
        context_subdir=attrs.get("contextsubdir", ""),
        keep_git_dir=bool(parse_bool(args.get("BUILDKIT_CONTEXT_KEEP_GIT_DIR", ""))),
        contexts=prefixed(attrs, "context:"),
        shared_keys=prefixed(attrs, "sharedkey:localdir:"),
        folder_sessions=prefixed(attrs, "local-sessionid:"),
        input_metadata=prefixed(attrs, "input-metadata:"),
        syntax="" if "cmdline" in attrs else args.get("BUILDKIT_SYNTAX", ""),
        subrequest=attrs.get("requestid", ""),
        cache_imports=_cache_imports(attrs),
    )


def _cache_imports(attrs: Mapping[str, str]) -> tuple[dict[str, str], ...]:
    """Cache imports, each as pairs with its `type`. Field names of Go are capitalized."""
    found = [{"type": "registry", "ref": ref} for ref in attrs.get("cache-from", "").split(",")]
    found = [pairs for pairs in found if pairs["ref"]]
    text = attrs.get("cache-imports", "")
    if text:
        import json

        try:
            for entry in json.loads(text):
                pairs = {"type": entry["Type"], **(entry.get("Attrs") or {})}
                if not all(isinstance(value, str) for value in pairs.values()):
                    raise TypeError("a value is not text")
                found.append(pairs)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(f"failed to unmarshal cache-imports ({text}): {error}") from error
    return tuple(found)


def _check_capabilities(text: str) -> None:
    for word in filter(None, text.split(",")):
        name = word.partition("+")[0]
        if name not in _CAPABILITIES:
            raise MissingCapability(name)


def _boolean(name: str, text: str) -> bool:
    chosen = parse_bool(text)
    if chosen is None:
        raise InvalidInput(f"invalid boolean value for {name}: {text}")
    return chosen
