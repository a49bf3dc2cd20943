"""Parsers for the arguments of `build`'s flags, one function per flag.

All raise InvalidInput, with the flag's name and a valid example.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.booleans import parse_bool
from lamina.base.errors import InvalidInput, NotFound, PermissionDenied, Unsupported
from lamina.client.contract import CacheSpec, NamedContext, OutputSpec, SecretSpec, SshSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lamina.llb.op import Ulimit

_PROVENANCE = frozenset(
    (
        *("type", "disabled", "mode", "version", "inline-only", "builder-id", "filename"),
        *("reproducible", "complete-materials", "capture-usage"),
    )
)
_SECRET_LIMIT = 500 * 1024
_REMOTE = ("http://", "https://", "git://", "ssh://", "git@", "github.com/")

ENTITLEMENTS = ("security.insecure", "network.host", "device")
"""The entitlements that `--allow` accepts."""


def is_remote(value: str) -> bool:
    """Whether a context is a URL, not a directory."""
    return value.startswith(_REMOTE)


def parse_fields(text: str, flag: str) -> list[tuple[str, str]]:
    """Parse `key=value,…`. Fields may be quoted as in CSV; a key alone has the value "".

    Keys are case-insensitive, except the names of annotations in them.
    """
    return [
        (key if key.startswith("annotation") else key.lower(), value)
        for key, value in _written_fields(text, flag)
    ]


def _written_fields(text: str, flag: str) -> list[tuple[str, str]]:
    """As `parse_fields`, with the keys as they are written."""
    fields = [text]
    if '"' in text:
        import csv

        try:
            fields = next(csv.reader([text], strict=True))
        except (csv.Error, StopIteration):
            raise InvalidInput(f'invalid argument "{text}" for --{flag}: bad quoting') from None
    else:
        fields = text.split(",")
    pairs = (field.partition("=") for field in fields)
    return [(key.strip(), value) for key, _, value in pairs]


def parse_build_args(values: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Parse `NAME=VALUE`, or `NAME` for the environment variable of that name if it is set."""
    arguments: dict[str, str] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not name:
            raise InvalidInput(f'invalid argument "{text}" for --build-arg: the name is missing')
        if equals:
            arguments[name] = value
        elif name in environ:
            arguments[name] = environ[name]
    if "SOURCE_DATE_EPOCH" in environ:
        arguments.setdefault("SOURCE_DATE_EPOCH", environ["SOURCE_DATE_EPOCH"])
    return arguments


def parse_label(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name:
        raise InvalidInput(f'invalid argument "{text}" for --label: the name is missing')
    return name, value


def parse_host(text: str) -> tuple[str, str]:
    """Parse `name:address` or `name=address`. An IPv6 address may be in brackets."""
    import ipaddress

    name, separator, address = text.partition("=" if "=" in text else ":")
    address = address.removeprefix("[").removesuffix("]")
    hint = "an entry looks like db:10.0.0.7 or db=[2001:db8::7]"
    if not name or not separator or not address:
        raise InvalidInput(f'invalid argument "{text}" for --add-host', hint=hint)
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise InvalidInput(
            f'invalid argument "{text}" for --add-host: "{address}" is not an IP address',
            hint=hint,
        ) from None
    return name, address


def parse_ulimit(text: str) -> Ulimit:
    """Parse `nofile=1024[:2048]`; -1 or `unlimited` is no limit."""
    name, _, limits = text.partition("=")
    soft_text, colon, hard_text = limits.partition(":")
    hint = "a limit looks like nofile=1024:2048"
    known = "as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime"
    if name not in (*known.split(), "sigpending", "stack"):
        raise InvalidInput(f'invalid argument "{text}" for --ulimit: no limit "{name}"', hint=hint)
    try:
        soft = -1 if soft_text == "unlimited" else int(soft_text)
        hard = soft if not colon else -1 if hard_text == "unlimited" else int(hard_text)
    except ValueError:
        raise InvalidInput(
            f'invalid argument "{text}" for --ulimit: not a number', hint=hint
        ) from None
    if min(soft, hard) < -1 or (hard != -1 and (soft == -1 or soft > hard)):
        raise InvalidInput(
            f'invalid argument "{text}" for --ulimit: the soft limit exceeds the hard one',
            hint=hint,
        )
    from lamina.llb.op import Ulimit

    return Ulimit(name, soft, hard)


def parse_context(text: str) -> NamedContext:
    """Parse `name=` and a directory, `oci-layout://directory[:tag][@digest]`, `docker-image://ref`
    or URL.

    Names are those of images (`docker.io/library/alpine:latest` is `alpine`) or stages, and are
    case-insensitive.
    """
    from lamina.base.reference import parse_reference

    name, _, value = text.partition("=")
    if not name or not value:
        raise InvalidInput(
            f'invalid argument "{text}" for --build-context',
            hint="use the form name=../directory or alpine=docker-image://alpine:3.20",
        )
    name = _context_name(name)
    scheme, separator, rest = value.partition("://")
    if separator and scheme == "docker-image":
        # No image has the name scratch; frontends look up exactly this word.
        return NamedContext(name, scheme, rest if rest == "scratch" else str(parse_reference(rest)))
    if separator and scheme == "oci-layout":
        return NamedContext(name, scheme, os.path.abspath(rest))
    if is_remote(value):
        return NamedContext(name, "url", value)
    if separator:
        raise Unsupported(
            f"--build-context {name}: {scheme}:// is not a supported kind of context",
            hint="use a directory, oci-layout://, docker-image:// or a URL",
        )
    path = os.path.abspath(value)
    if not os.path.isdir(path):
        raise NotFound(f"--build-context {name}: no such directory: {value}")
    return NamedContext(name, "local", path)


def _context_name(text: str) -> str:
    """The normalized name. Frontends, also those of other builders, look up exactly this text."""
    from lamina.base.reference import parse_reference

    name, mark, platform = text.partition("::")
    try:
        return parse_reference(name.lower()).familiar.removesuffix(":latest") + mark + platform
    except InvalidInput as error:
        raise InvalidInput(f'invalid argument "{text}" for --build-context: {error}') from None


def parse_secret(text: str, environ: Mapping[str, str]) -> SecretSpec:
    """Parse `id=token[,src=FILE|,env=NAME]`; the default is the variable, else the file, named
    `id`.

    The value itself is not read here. Also raises NotFound, PermissionDenied.
    """
    fields = dict(parse_fields(text, "secret"))
    known = {"id", "src", "source", "env", "type"}
    hint = "a secret looks like id=token,src=token.txt or id=token,env=TOKEN"
    if unknown := set(fields) - known:
        raise InvalidInput(f'unexpected key "{unknown.pop()}" in --secret {text}', hint=hint)
    kind = fields.get("type", "")
    if kind not in ("", "file", "env"):
        raise InvalidInput(f'unsupported secret type "{kind}"', hint="use file or env")
    secret_id = fields.get("id", "")
    path, env = fields.get("src", fields.get("source", "")), fields.get("env", "")
    if kind == "env" and not env:
        path, env = "", path
    if not secret_id:
        raise InvalidInput(f"--secret {text}: the id is missing", hint=hint)
    if path and env:
        raise InvalidInput(f"--secret {secret_id}: src and env cannot be combined", hint=hint)
    if not path and not env:
        if kind == "env" or (not kind and secret_id in environ):
            env = secret_id
        else:
            path = secret_id
    if env:
        if env not in environ:
            raise NotFound(f"--secret {secret_id}: the variable {env} is not set", hint=hint)
        return SecretSpec(secret_id, env=env)
    return SecretSpec(secret_id, path=_secret_file(secret_id, path, hint))


def _secret_file(secret_id: str, path: str, hint: str) -> str:
    path = os.path.abspath(os.path.expanduser(path))
    if not os.path.exists(path):
        raise NotFound(f"--secret {secret_id}: no such file: {path}", hint=hint)
    if os.path.isdir(path):
        raise InvalidInput(f"--secret {secret_id}: {path} is a directory", hint=hint)
    if not os.access(path, os.R_OK):
        raise PermissionDenied(f"--secret {secret_id}: no permission to read {path}")
    if os.path.getsize(path) > _SECRET_LIMIT:
        raise InvalidInput(f"--secret {secret_id}: {path} is larger than {_SECRET_LIMIT} bytes")
    return path


def parse_ssh(text: str, environ: Mapping[str, str]) -> SshSpec:
    """Parse `default`, `id`, or `id=path[,path…]`. Also raises NotFound."""
    agent_id, equals, rest = text.partition("=")
    if not agent_id:
        raise InvalidInput(f'invalid argument "{text}" for --ssh: the id is missing')
    if not equals or not rest:
        if not environ.get("SSH_AUTH_SOCK"):
            raise NotFound(
                f"--ssh {text}: no SSH agent: SSH_AUTH_SOCK is not set",
                hint="start one with `eval $(ssh-agent)`, or name a socket: --ssh default=PATH",
            )
        return SshSpec(agent_id)
    paths = tuple(os.path.abspath(os.path.expanduser(path)) for path in rest.split(","))
    for path in paths:
        if not os.path.exists(path):
            raise NotFound(f"--ssh {agent_id}: there is no {path}")
    return SshSpec(agent_id, paths)


def parse_output(text: str, *, stdout_is_terminal: bool) -> OutputSpec:
    """Parse `type=…,key=value,…`, the path of a directory, or `-` for a tar archive on standard
    output."""
    fields = parse_fields(text, "output")
    if text == "-":
        fields = [("type", "tar"), ("dest", "-")]
    elif "=" not in text:
        fields = [("type", "local"), ("dest", text)]
    attributes = dict(fields)
    kind = attributes.pop("type", "")
    if not kind:
        raise InvalidInput(
            f"--output {text}: the type is missing",
            hint="use for example type=oci,dest=image.tar, type=local,dest=out or just out",
        )
    destination = attributes.get("dest", "")
    if not destination and kind == "local":
        raise InvalidInput("--output type=local: dest is missing", hint="add dest=DIRECTORY")
    if not destination and kind in ("oci", "tar"):
        attributes["dest"] = destination = "-"
    if destination == "-" and kind == "local":
        raise InvalidInput("--output type=local cannot go to standard output", hint="use type=tar")
    if destination == "-" and stdout_is_terminal:
        raise InvalidInput(
            f"--output type={kind}: an archive is not written to a terminal",
            hint="redirect standard output, or add dest=FILE",
        )
    if destination not in ("", "-"):
        attributes["dest"] = os.path.abspath(os.path.expanduser(destination))
    return OutputSpec(kind, tuple(attributes.items()))


def parse_annotation(text: str) -> tuple[tuple[str, str], ...]:
    """Parse `[type[,type…][platform]:]name=value`. Returns the attributes of outputs for it.

    A type is `manifest` (the default), `manifest-descriptor`, `index` or `index-descriptor`.
    """
    head, equals, value = text.partition("=")
    hint = 'an annotation looks like "manifest:org.opencontainers.image.title=Name"'
    types, colon, name = head.partition(":")
    if not colon:
        types, name = "manifest", head
    if not equals or not name:
        raise InvalidInput(f'invalid argument "{text}" for --annotation', hint=hint)
    known = ("manifest", "manifest-descriptor", "index", "index-descriptor")
    attributes = []
    for part in types.split(","):
        kind, bracket, platform = part.partition("[")
        if kind not in known or (bracket and not platform.endswith("]")):
            raise InvalidInput(
                f'invalid argument "{text}" for --annotation: no type "{part}"',
                hint=f"use one of {', '.join(known)}",
            )
        attributes.append((f"annotation-{kind}{bracket}{platform}.{name}", value))
    return tuple(attributes)


def parse_cache(text: str, flag: str) -> CacheSpec:
    """Parse `type=…,key=value,…`, or an image's name alone for `type=registry,ref=NAME`."""
    if "=" not in text:
        if flag == "cache-to" and text == "inline":
            return CacheSpec("inline")
        return CacheSpec("registry", (("ref", text),))
    attributes = dict(parse_fields(text, flag))
    kind = attributes.pop("type", "")
    if not kind:
        raise InvalidInput(
            f"--{flag} {text}: the type is missing",
            hint=f"for example --{flag} type=registry,ref=host/app:cache",
        )
    for key in ("src", "dest"):
        if attributes.get(key):
            attributes[key] = os.path.abspath(os.path.expanduser(attributes[key]))
    return CacheSpec(kind, tuple(attributes.items()))


def parse_attests(written: Iterable[str], short: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Parse `--attest type=…,key=value` and its short forms by type, which count as later ones.

    Returns (type, attributes), without those that are `disabled`. The last one of a type counts.
    """
    texts = list(written)
    for kind, value in short.items():
        match parse_bool(value):
            case True:
                texts.append(f"type={kind}")
            case False:
                texts.append(f"type={kind},disabled=true")
            case None:
                texts.append(f"type={kind},{value}")
    found: dict[str, str] = {}
    for text in texts:
        fields = parse_fields(text, "attest")
        pairs = dict(fields)
        kind = pairs.get("type", "")
        if kind == "sbom":
            # Parameters of generators are case-sensitive.
            fields = [
                (key.lower() if key.lower() in ("type", "disabled") else key, value)
                for key, value in _written_fields(text, "attest")
            ]
        if kind not in ("provenance", "sbom"):
            raise InvalidInput(
                f'--attest {text}: unknown type "{kind}"', hint="use provenance or sbom"
            )
        if kind == "provenance" and (unknown := sorted(pairs.keys() - _PROVENANCE)):
            raise InvalidInput(
                f"--attest {text}: provenance does not support {', '.join(unknown)}",
                hint=f"it supports {', '.join(sorted(_PROVENANCE - {'type', 'disabled'}))}",
            )
        found.pop(kind, None)
        if not parse_bool(pairs.get("disabled", "false") or "true"):
            kept = (f"{key}={value}" for key, value in fields if key not in ("type", "disabled"))
            found[kind] = ",".join(f'"{field}"' if "," in field else field for field in kept)
    return tuple(found.items())


def parse_tag(text: str) -> str:
    """Parse an image name without a digest. Returns it as written."""
    from lamina.base.reference import parse_reference

    if parse_reference(text).digest is not None:
        raise InvalidInput(
            f'invalid tag "{text}": an image name with a digest cannot be used as a tag'
        )
    return text


def parse_entitlement(text: str) -> str:
    """Raise InvalidInput for an unknown entitlement."""
    from lamina.cli.flags import suggestion
    from lamina.engine.devices import read_grant

    kind, equals, _ = text.partition("=")
    if kind not in ENTITLEMENTS or (equals and kind != "device"):
        hint = suggestion(kind, ENTITLEMENTS) or f"entitlements are {', '.join(ENTITLEMENTS)}"
        raise InvalidInput(f'invalid argument "{text}" for --allow: unknown entitlement', hint=hint)
    read_grant((text,))
    return text


def parse_platforms(values: Iterable[str]) -> tuple[str, ...]:
    """Parse the target platforms. Each is returned once, in the order given. `local` is that of
    this machine (buildx).

    Raises InvalidInput, also for misspelt names, which would cause no other error.
    """
    from lamina.base.platform import ARCHITECTURES, SYSTEMS, host_platform, parse_platform
    from lamina.cli.flags import suggestion

    wanted = []
    for text in (part for value in values for part in value.split(",")):
        platform = host_platform() if text.lower() == "local" else parse_platform(text)
        for word, known in ((platform.os, SYSTEMS), (platform.architecture, ARCHITECTURES)):
            if word not in known:
                raise InvalidInput(
                    f'invalid argument "{text}" for --platform: unknown {word}'
                    f"{suggestion(word, known)}",
                    hint=f"supported: {', '.join(sorted(known))}",
                )
        wanted.append(str(platform))
    return tuple(dict.fromkeys(wanted))
