"""Targets and groups, and how they are merged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from lamina.bake.options.credentials import Secret, Ssh, last_secrets, last_ssh
from lamina.bake.options.entries import Entries, last_of_type, without_equals
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lamina.bake.options.policies import Policy
    from lamina.bake.options.resources import Resources

Texts = tuple[str, ...]
Pairs = tuple[tuple[str, str | None], ...]
"""Values by name, in the order of the names; None is a null, which leaves the name out."""


class Group(NamedTuple):
    """A group; `targets` is None for that of Compose files without build sections."""

    name: str
    targets: Texts | None = ()
    description: str = ""


class Target(NamedTuple):
    """A target as it is defined, or resolved. None: the option is not set.

    `linked` marks a target that is built only as a context of another one.
    """

    name: str = ""
    description: str = ""
    inherits: Texts = ()
    annotations: Texts | None = None
    attest: Entries | None = None
    context: str | None = None
    contexts: Pairs | None = None
    dockerfile: str | None = None
    dockerfile_inline: str | None = None
    args: Pairs | None = None
    labels: Pairs | None = None
    tags: Texts | None = None
    cache_from: Entries | None = None
    cache_to: Entries | None = None
    target: str | None = None
    secret: tuple[Secret, ...] | None = None
    ssh: tuple[Ssh, ...] | None = None
    platforms: Texts | None = None
    output: Entries | None = None
    pull: bool | None = None
    no_cache: bool | None = None
    network: str | None = None
    no_cache_filter: Texts | None = None
    shm_size: str | None = None
    ulimits: Texts | None = None
    resources: Resources | None = None
    call: str | None = None
    entitlements: Texts | None = None
    extra_hosts: Pairs | None = None
    policy: tuple[Policy, ...] | None = None
    linked: bool = False

    def merged(self, other: Target) -> Target:
        """This target with the options of another one, which replace or extend its own."""
        changes: dict[str, Any] = {
            name: value for name, value in _given(other) if name in _REPLACED
        }
        return self._replace(
            **changes,
            description=other.description or self.description,
            inherits=self.inherits + other.inherits,
            args=_merged_pairs(self.args, other.args),
            contexts=_merged_pairs(self.contexts, other.contexts),
            labels=_merged_pairs(self.labels, other.labels),
            extra_hosts=_merged_pairs(self.extra_hosts, other.extra_hosts),
            annotations=_joined(self.annotations, other.annotations),
            no_cache_filter=_joined(self.no_cache_filter, other.no_cache_filter),
            ulimits=_joined(self.ulimits, other.ulimits),
            entitlements=_joined(self.entitlements, other.entitlements),
            policy=_joined(self.policy, other.policy),
            attest=_merged(self.attest, other.attest, last_of_type),
            cache_from=_merged(self.cache_from, other.cache_from, without_equals),
            secret=_merged(self.secret, other.secret, last_secrets),
            ssh=_merged(self.ssh, other.ssh, last_ssh),
            resources=_merged_resources(self.resources, other.resources),
        )

    def normalized(self) -> Target:
        """Without repetitions and empty elements; host networking needs its entitlement."""
        entitlements = self.entitlements or ()
        if self.network == "host":
            entitlements = (*entitlements, "network.host")
        contexts = tuple(pair for pair in self.contexts or () if pair[1])
        return self._replace(
            annotations=unique(self.annotations),
            tags=unique(self.tags),
            platforms=unique(self.platforms),
            no_cache_filter=unique(self.no_cache_filter),
            ulimits=unique(self.ulimits),
            entitlements=unique(entitlements) or None,
            attest=last_of_type(self.attest or ()) or None,
            cache_from=without_equals(self.cache_from or ()) or None,
            cache_to=without_equals(self.cache_to or ()) or None,
            output=without_equals(self.output or ()) or None,
            secret=last_secrets(self.secret or ()) or None,
            ssh=last_ssh(self.ssh or ()) or None,
            contexts=contexts or None,
        )


_REPLACED = frozenset(
    (
        *("context", "dockerfile", "dockerfile_inline", "tags", "target", "call", "platforms"),
        *("cache_to", "output", "pull", "no_cache", "network", "shm_size"),
    )
)


def _given(target: Target) -> Iterable[tuple[str, object]]:
    fields = target._asdict().items()
    return ((name, value) for name, value in fields if value is not None)


def _merged_pairs(ours: Pairs | None, theirs: Pairs | None) -> Pairs | None:
    """Names of both; a null does not replace a value."""
    if not theirs:
        return ours
    return sorted_pairs({**dict(ours or ()), **{k: v for k, v in theirs if v is not None}})


def sorted_pairs(members: Mapping[str, str | None]) -> Pairs:
    return tuple(sorted(members.items()))


def _merged_resources(ours: Resources | None, theirs: Resources | None) -> Resources | None:
    if ours is None or theirs is None:
        return ours if theirs is None else theirs
    return ours.merged(theirs)


_T = TypeVar("_T")


def _joined(ours: tuple[_T, ...] | None, theirs: tuple[_T, ...] | None) -> tuple[_T, ...] | None:
    return ours if theirs is None else (*(ours or ()), *theirs)


def _merged(
    ours: tuple[_T, ...] | None,
    theirs: tuple[_T, ...] | None,
    without_repetitions: Callable[[tuple[_T, ...]], tuple[_T, ...]],
) -> tuple[_T, ...] | None:
    joined = _joined(ours, theirs)
    return None if joined is None else without_repetitions(joined)


def unique(texts: Iterable[str] | None) -> Texts | None:
    """Each text once, in the order of the first ones; without empty ones."""
    return None if texts is None else tuple(dict.fromkeys(filter(None, texts)))
