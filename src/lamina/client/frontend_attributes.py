"""A build request as the attributes of `dockerfile.v0`, as `docker buildx` writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lamina.client.contract import BuildRequest, FrontendOptions
    from lamina.client.served_files import ServedRequest

FRONTEND = "dockerfile.v0"
_HOST_NETWORK = "network.host"
_CONTEXTS = "moby.buildkit.frontend.contexts+forward"


def frontend_attributes(request: BuildRequest, served: ServedRequest) -> dict[str, str]:
    """The frontend attributes of a request; `served` has the names that files go by."""
    options = request.frontend
    attributes = {
        "filename": served.filename,
        **{f"build-arg:{name}": value for name, value in options.build_args},
        **{f"label:{name}": value for name, value in options.labels},
        **{f"attest:{kind}": text for kind, text in request.attests},
        **{f"context:{name}": address for name, address in served.contexts},
        **{f"sharedkey:localdir:{name}": key for name, key in served.shared_keys},
    }
    optional = {
        "context": served.context,
        "dockerfilekey": served.dockerfile_key,
        "target": options.target,
        "platform": ",".join(options.platforms),
        "image-resolve-mode": "pull" if options.pull else "",
        "force-network-mode": "" if options.network == "default" else options.network,
        "add-hosts": _row(f"{name}={address}" for name, address in options.extra_hosts),
        "shm-size": str(options.shm_size or ""),
        "ulimit": _row(f"{limit.name}={limit.soft}:{limit.hard}" for limit in options.ulimits),
        "cgroup-parent": options.cgroup_parent,
        "no-cache": ",".join(options.no_cache_filter),
        "frontend.caps": _CONTEXTS if served.contexts else "",
    }
    attributes |= {key: value for key, value in optional.items() if value}
    if options.no_cache:
        attributes["no-cache"] = ""
    if request.attests:
        from lamina.client.version_control import version_control_attributes

        attributes |= version_control_attributes(request)
    return attributes


def check_text(attributes: Mapping[str, str]) -> None:
    """Raise InvalidInput for attributes that are no text, which the protocol cannot carry."""
    for key, value in attributes.items():
        try:
            f"{key}={value}".encode()
        except UnicodeEncodeError:
            shown = f"{key}={value}".encode(errors="replace").decode()
            raise InvalidInput(
                f"{shown} is not UTF-8", hint="builds without a daemon take any bytes"
            ) from None


def plain_text(text: str) -> str:
    """A name as it can be said to a daemon and shown on one line: what is no text becomes `_`."""
    return "".join(character if character.isprintable() else "_" for character in text)


def entitlements(options: FrontendOptions) -> tuple[str, ...]:
    """What steps are allowed; `--network host` on the command line is the user's own leave."""
    host = (_HOST_NETWORK,) if options.network == "host" else ()
    return tuple(dict.fromkeys((*options.allow, *host)))


def _row(fields: Iterable[str]) -> str:
    """One line of CSV."""
    return ",".join(
        '"' + field.replace('"', '""') + '"' if set(field) & set(',"\n\r') else field
        for field in fields
    )
