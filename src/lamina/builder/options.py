"""The options of builds, and the request that they make."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypedDict

from lamina.base.errors import InvalidInput, NotFound
from lamina.cli import values
from lamina.client.contract import (
    BuildRequest,
    ContextSpec,
    OutputSpec,
    SecretSpec,
    SessionProviders,
)
from lamina.dockerfile.options import FrontendOptions
from lamina.states.arguments import (
    CALLABLE,
    DATA,
    INTEGER,
    LIMITS,
    PAIRS,
    PATH,
    SPECIFICATIONS,
    STATE,
    SWITCH,
    TEXT,
    TEXTS,
    check_arguments,
    check_options,
    either,
    mapping_of,
)
from lamina.states.run import NETWORKS
from lamina.states.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from lamina.base.events import Event
    from lamina.states.arguments import Kind

PathLike = str | os.PathLike[str]


class BuildOptions(TypedDict, total=False):
    """The options of a build. They mean what the flags of `lamina build` mean.

    dockerfile: the path of the Dockerfile, or its bytes; by default `Dockerfile` in the context.
    tags: the names of the image.
    target: the stage to build.
    platforms: such as `linux/arm64`.
    build_args, labels: by name.
    contexts: further contexts by name: a directory, `docker-image://…`, `oci-layout://…`, a URL, or
        a `State`.
    secrets: by id: a path (`os.PathLike`) of a file, or the value itself (text or bytes).
    ssh: agents: `default`, or `id=path`.
    outputs: texts as of `--output`; by default the image goes into the builder's store.
    push, load: push the image, or load it into Docker.
    cache_from, cache_to: texts as of `--cache-from` and `--cache-to`.
    annotations: texts as of `--annotation`.
    attest: texts as of `--attest`, such as `type=provenance,mode=max`.
    allow: entitlements.
    no_cache, no_cache_filter: ignore the cache, or that of some stages.
    pull: resolve the tags of base images again.
    network: `default`, `none` or `host`.
    add_hosts: addresses by host name.
    shm_size: bytes.
    ulimits: (soft, hard) by name.
    on_event: gets the progress events, in the thread of the caller.
    """

    dockerfile: PathLike | bytes
    tags: Sequence[str]
    target: str
    platforms: Sequence[str]
    build_args: Mapping[str, str]
    labels: Mapping[str, str]
    contexts: Mapping[str, str | os.PathLike[str] | State]
    secrets: Mapping[str, str | bytes | os.PathLike[str]]
    ssh: Sequence[str]
    outputs: Sequence[str]
    push: bool
    load: bool
    cache_from: Sequence[str]
    cache_to: Sequence[str]
    annotations: Sequence[str]
    attest: Sequence[str]
    allow: Sequence[str]
    no_cache: bool
    no_cache_filter: Sequence[str]
    pull: bool
    network: str
    add_hosts: Mapping[str, str]
    shm_size: int
    ulimits: Mapping[str, tuple[int, int]]
    on_event: Callable[[Event], object]


_KINDS: Mapping[str, Kind] = {
    "dockerfile": either(PATH, DATA),
    **dict.fromkeys(("target", "network"), TEXT),
    **dict.fromkeys(("ssh", "outputs", "cache_from", "cache_to"), SPECIFICATIONS),
    **dict.fromkeys(("tags", "platforms", "annotations", "attest", "allow"), TEXTS),
    "no_cache_filter": TEXTS,
    **dict.fromkeys(("build_args", "labels", "add_hosts"), PAIRS),
    **dict.fromkeys(("push", "load", "no_cache", "pull"), SWITCH),
    "contexts": mapping_of(either(PATH, STATE)),
    "secrets": mapping_of(either(PATH, DATA)),
    "shm_size": INTEGER,
    "ulimits": LIMITS,
    "on_event": CALLABLE,
}


def check_context(context: object, options: BuildOptions) -> None:
    """Check the arguments of `Builder.build`. Raises InvalidInput."""
    check_arguments("build", {"context": either(PATH, STATE)}, context=context)
    check_options("build", _KINDS, options)


def request_of(options: BuildOptions) -> BuildRequest:
    """The request without its context. Raises InvalidInput, NotFound."""
    agents = tuple(values.parse_ssh(text, os.environ) for text in options.get("ssh", ()))
    return BuildRequest(
        context=ContextSpec(""),
        frontend=_frontend(options),
        allow=tuple(dict.fromkeys(map(values.parse_entitlement, options.get("allow", ())))),
        tags=tuple(dict.fromkeys(map(values.parse_tag, options.get("tags", ())))),
        outputs=tuple(_outputs(options)),
        providers=SessionProviders(tuple(_secrets(options.get("secrets", {}))), agents),
        cache_from=tuple(
            values.parse_cache(text, "cache-from") for text in options.get("cache_from", ())
        ),
        cache_to=tuple(
            values.parse_cache(text, "cache-to") for text in options.get("cache_to", ())
        ),
        attests=values.parse_attests(options.get("attest", ()), {}),
    )


def states_of(options: BuildOptions) -> dict[str, State]:
    """The named contexts that are states."""
    contexts = options.get("contexts", {})
    return {name: value for name, value in contexts.items() if isinstance(value, State)}


def named_contexts(options: BuildOptions) -> Iterable[str]:
    """The other named contexts, as texts of `--build-context`."""
    for name, value in options.get("contexts", {}).items():
        if not isinstance(value, State):
            yield f"{name}={os.fspath(value)}"


def _frontend(options: BuildOptions) -> FrontendOptions:
    hosts = (f"{name}={address}" for name, address in options.get("add_hosts", {}).items())
    limits = options.get("ulimits", {})
    network = options.get("network", "default")
    if network not in NETWORKS:
        raise InvalidInput(f'unknown network "{network}"', hint=f"use {' or '.join(NETWORKS)}")
    return FrontendOptions(
        target=options.get("target", ""),
        build_args=tuple(options.get("build_args", {}).items()),
        labels=tuple(options.get("labels", {}).items()),
        no_cache=options.get("no_cache", False),
        no_cache_filter=tuple(options.get("no_cache_filter", ())),
        resolve_mode="pull" if options.get("pull") else "",
        platforms=values.parse_platforms(options.get("platforms", ())),
        network=network,
        extra_hosts=tuple(map(values.parse_host, hosts)),
        shm_size=options.get("shm_size", 0),
        ulimits=tuple(
            values.parse_ulimit(f"{name}={soft}:{hard}") for name, (soft, hard) in limits.items()
        ),
    )


def _secrets(secrets: Mapping[str, str | bytes | os.PathLike[str]]) -> Iterable[SecretSpec]:
    for key, value in secrets.items():
        if isinstance(value, os.PathLike):
            path = os.path.abspath(os.path.expanduser(value))
            if not os.path.exists(path):
                raise NotFound(f"secret {key}: no such file: {path}")
            yield SecretSpec(key, path=path)
        else:
            yield SecretSpec(key, data=value.encode() if isinstance(value, str) else value)


def _outputs(options: BuildOptions) -> Iterable[OutputSpec]:
    outputs = [
        values.parse_output(text, stdout_is_terminal=True) for text in options.get("outputs", ())
    ]
    for output in outputs:
        if dict(output.attributes).get("dest") == "-":
            raise InvalidInput(
                f"outputs: type={output.type} needs a dest", hint="name a file: dest=image.tar"
            )
    if options.get("load"):
        outputs.append(OutputSpec("docker"))
    annotations = dict(
        pair for text in options.get("annotations", ()) for pair in values.parse_annotation(text)
    )
    if options.get("push") and not any(o.type in ("image", "registry") for o in outputs):
        outputs.append(OutputSpec("image"))
    if annotations and not outputs:
        outputs.append(OutputSpec("image"))
    for output in outputs:
        attributes = dict(output.attributes)
        if output.type in ("image", "registry"):
            attributes |= {"push": "true"} if options.get("push") else {}
        if output.type in ("image", "registry", "oci", "docker"):
            attributes = annotations | attributes
        yield output._replace(attributes=tuple(attributes.items()))
