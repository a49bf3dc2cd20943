"""The JSON that `--print` writes, member for member as buildx orders and omits them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.gojson import encode_indented

if TYPE_CHECKING:
    from lamina.bake.selection import Selection
    from lamina.bake.target import Group, Pairs, Target


def printed(selection: Selection) -> str:
    """The whole text, without a newline at the end."""
    return encode_indented(selection_document(selection)).decode()


def selection_document(selection: Selection) -> dict[str, object]:
    document: dict[str, object] = {}
    if selection.groups:
        document["group"] = {
            name: group_document(group) for name, group in sorted(selection.groups.items())
        }
    document["target"] = {
        name: target_document(target) for name, target in sorted(selection.targets.items())
    }
    return document


def group_document(group: Group) -> dict[str, object]:
    described = {"description": group.description} if group.description else {}
    return {**described, "targets": None if group.targets is None else list(group.targets)}


def target_document(target: Target) -> dict[str, object]:
    """Text is escaped so that the document is a bake file again."""
    members: dict[str, object] = {
        "description": target.description,
        "annotations": [_escaped(text) for text in target.annotations or ()],
        "attest": [entry.document for entry in target.attest or ()],
        "context": target.context,
        "contexts": dict(target.contexts or ()),
        "dockerfile": target.dockerfile,
        "dockerfile-inline": _escaped_or_none(target.dockerfile_inline),
        "args": _pairs(target.args),
        "labels": _pairs(target.labels),
        "tags": list(target.tags or ()),
        "cache-from": [entry.document for entry in target.cache_from or ()],
        "cache-to": [entry.document for entry in target.cache_to or ()],
        "target": target.target,
        "secret": [secret.document for secret in target.secret or ()],
        "ssh": [agent.document for agent in target.ssh or ()],
        "platforms": list(target.platforms or ()),
        "output": [entry.document for entry in target.output or ()],
        "pull": target.pull,
        "no-cache": target.no_cache,
        "network": target.network,
        "no-cache-filter": list(target.no_cache_filter or ()),
        "shm-size": target.shm_size,
        "ulimits": list(target.ulimits or ()),
        "resources": None if target.resources is None else target.resources.document,
        "call": target.call,
        "entitlements": list(target.entitlements or ()),
        "extra-hosts": _pairs(target.extra_hosts),
        "policy": [policy.document for policy in target.policy or ()],
    }
    return {name: value for name, value in members.items() if _is_given(name, value)}


def _is_given(name: str, value: object) -> bool:
    """Empty lists, maps and descriptions are left out; empty strings are not."""
    if isinstance(value, list) or (isinstance(value, dict) and name != "resources"):
        return bool(value)
    return value is not None and not (name == "description" and not value)


def _pairs(pairs: Pairs | None) -> dict[str, object]:
    return {key: _escaped_or_none(value) for key, value in pairs or ()}


def _escaped_or_none(text: str | None) -> str | None:
    return None if text is None else _escaped(text)


def _escaped(text: str) -> str:
    return text.replace("${", "$${").replace("%{", "%%{")
