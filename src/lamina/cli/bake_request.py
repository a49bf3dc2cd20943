"""Makes build requests of bake targets: what `lamina build` would get on its command line."""

from __future__ import annotations

import os
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING

from lamina.bake.locations import dockerfile_path, is_remote, local_path
from lamina.base.errors import LaminaError, Unsupported
from lamina.cli import values
from lamina.cli.context import open_context
from lamina.cli.output_flags import annotated
from lamina.cli.resource_limits import limits_of
from lamina.cli.units import parse_size
from lamina.client.contract import (
    BuildRequest,
    ContextSpec,
    NamedContext,
    SessionProviders,
)
from lamina.dockerfile.options import FrontendOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.bake.target import Pairs, Target

_TARGET = "target:"


@contextmanager
def target_request(target: Target, *, fetched: bool = False) -> Iterator[BuildRequest]:
    """The request for a target. Downloaded files are kept for the block.

    Args:
        fetched: whether to fetch a remote context; otherwise the engine does.

    Raises InvalidInput, NotFound, PermissionDenied, Unavailable, Unsupported.
    """
    try:
        request = _without_context(target)
    except LaminaError as error:
        raise error.with_context(reason=f"target {target.name}: {error.reason}") from None
    named = tuple(_named(name, value or "") for name, value in target.contexts or ())
    with _context(target, named, request.providers, fetched=fetched) as context:
        yield request._replace(context=context)


def _without_context(target: Target) -> BuildRequest:
    environ = os.environ
    if any(not policy.disabled for policy in target.policy or ()):
        raise Unsupported(
            "policy is not supported: lamina has no Rego engine",
            hint="remove it, or use --source-policy-file of `lamina build`",
        )
    outputs = [
        values.parse_output(output.text, stdout_is_terminal=os.isatty(1))
        for output in target.output or ()
    ]
    return BuildRequest(
        context=ContextSpec(""),
        frontend=_frontend(target),
        tags=tuple(dict.fromkeys(map(values.parse_tag, target.tags or ()))),
        outputs=annotated(outputs, target.annotations or ()),
        providers=SessionProviders(
            tuple(values.parse_secret(secret.text, environ) for secret in target.secret or ()),
            tuple(values.parse_ssh(agent.text, environ) for agent in target.ssh or ()),
        ),
        cache_from=tuple(
            values.parse_cache(cache.text, "cache-from") for cache in target.cache_from or ()
        ),
        cache_to=tuple(
            values.parse_cache(cache.text, "cache-to") for cache in target.cache_to or ()
        ),
        attests=values.parse_attests([attest.text for attest in target.attest or ()], {}),
        allow=tuple(map(values.parse_entitlement, target.entitlements or ())),
    )


def _frontend(target: Target) -> FrontendOptions:
    hosts = (f"{name}={address}" for name, address in _given(target.extra_hosts))
    return FrontendOptions(
        target=target.target or "",
        build_args=tuple(_given(target.args)),
        labels=tuple(_given(target.labels)),
        no_cache=bool(target.no_cache),
        no_cache_filter=target.no_cache_filter or (),
        resolve_mode="pull" if target.pull else "",
        platforms=values.parse_platforms(target.platforms or ()),
        network=target.network or "default",
        extra_hosts=tuple(map(values.parse_host, hosts)),
        shm_size=parse_size(target.shm_size, "shm-size") if target.shm_size else 0,
        ulimits=tuple(map(values.parse_ulimit, target.ulimits or ())),
        resources=limits_of(target.resources),
    )


def _given(pairs: Pairs | None) -> Iterator[tuple[str, str]]:
    return ((name, value) for name, value in pairs or () if value is not None)


def _named(name: str, value: str) -> NamedContext:
    if value.startswith(_TARGET):
        parsed = values.parse_context(f"{name}=docker-image://scratch")
        return NamedContext(parsed.name, "target", value.removeprefix(_TARGET))
    if "://" not in value or value.startswith("cwd://"):
        value = value if is_remote(value) else local_path(value)
    return values.parse_context(f"{name}={value}")


@contextmanager
def _context(
    target: Target,
    named: tuple[NamedContext, ...],
    providers: SessionProviders,
    *,
    fetched: bool,
) -> Iterator[ContextSpec]:
    context = target.context or "."
    inline = target.dockerfile_inline
    file = "-" if inline is not None else dockerfile_path(target)
    if inline is None and is_remote(context) and target.dockerfile in (None, "Dockerfile"):
        file = ""
    stdin = BytesIO(b"" if inline is None else inline.encode())
    with open_context(context, file, named, stdin, providers, fetched=fetched) as found:
        yield found
