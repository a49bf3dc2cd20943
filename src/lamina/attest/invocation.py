"""A frontend's call in provenance: the request, and the source of the definition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.base.errors import InvalidInput
from lamina.base.git_url import is_git_url, parse_git_url
from lamina.base.named_tuple import NamedTuple
from lamina.base.redact import redacted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.attest.contract import FrontendCall
    from lamina.attest.materials import Materials

_HOST_SPECIFIC = ("cgroup-parent", "image-resolve-mode", "platform", "cache-imports")
_PRIVATE = ("build-arg:", "label:")
_VCS = "vcs:"


class ConfigSource(NamedTuple):
    """The source of the build's definition: a remote context, and the file's name in it."""

    uri: str = ""
    digest: Mapping[str, str] = {}
    path: str = ""

    def to_json(self, path: str = "path") -> dict[str, Any]:
        fields = {"uri": self.uri, "digest": dict(self.digest), path: self.path}
        return {key: value for key, value in fields.items() if value}


class Request(NamedTuple):
    """A recorded call. `inputs` are the calls that made its inputs, `root` the call that it results
    from, if that contains more."""

    source: ConfigSource = ConfigSource()
    frontend: str = ""
    args: Mapping[str, str] = {}
    inputs: Mapping[str, Request] = {}
    root: Request | None = None

    @property
    def empty(self) -> bool:
        return not (self.frontend or self.args or self.inputs)

    @property
    def private(self) -> bool:
        """Whether `scrubbed` removes something."""
        nested = (*self.inputs.values(), *((self.root,) if self.root is not None else ()))
        return any(map(_private, self.args)) or any(request.private for request in nested)

    def scrubbed(self) -> Request:
        """The request without arguments and labels."""
        return self._replace(
            args={name: self.args[name] for name in self.args if not _private(name)},
            inputs={name: request.scrubbed() for name, request in self.inputs.items()},
            root=self.root.scrubbed() if self.root is not None else None,
        )

    def without_vcs(self) -> tuple[Request, dict[str, str]]:
        """The request without the version control attributes, and these without the prefix
        `vcs:`."""
        said = {
            name.removeprefix(_VCS): self.args[name]
            for name in sorted(self.args)
            if name.startswith(_VCS) and self.args[name]
        }
        rest = {name: self.args[name] for name in self.args if not name.startswith(_VCS)}
        return self._replace(args=rest), said

    def asked(self) -> dict[str, Any]:
        """The frontend and its arguments, as JSON."""
        fields = {"frontend": self.frontend, "args": dict(sorted(self.args.items()))}
        return {key: value for key, value in fields.items() if value}

    def around(self) -> dict[str, Any]:
        """The previous calls, as JSON."""
        found: dict[str, Any] = {}
        if self.inputs:
            found["inputs"] = {name: self.inputs[name].to_json() for name in sorted(self.inputs)}
        if self.root is not None:
            found["root"] = self.root.to_json()
        return found

    def to_json(self) -> dict[str, Any]:
        return {
            "configSource": self.source.to_json(),
            "request": {**self.asked(), **self.around()},
        }


def request_of(call: FrontendCall | None, materials: Materials) -> Request:
    """A call for provenance, without passwords and attributes that only apply to this machine."""
    if call is None:
        return Request()
    args = recorded(call.attrs)
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
    inputs = {name: request_of(made, materials) for name, made in call.origins.items()}
    request = Request(source, call.frontend, args, inputs)
    if call.root is not None:
        root = request_of(call.root, materials)
        if not root.empty and root != request:
            return request._replace(root=root)
    return request


def recorded(attrs: Mapping[str, str]) -> dict[str, str]:
    """A frontend's attributes, without passwords and those that only apply to this machine."""
    return {
        name: redacted(value)
        for name, value in attrs.items()
        if name not in _HOST_SPECIFIC and not name.startswith("attest:")
    }


def _private(name: str) -> bool:
    return name.startswith(_PRIVATE)


def _config_source(context: str, materials: Materials) -> ConfigSource:
    if is_git_url(context):
        try:
            url = parse_git_url(context)
        except InvalidInput:  # for a call whose frontend read no such source
            return ConfigSource(redacted(context))
        ref = f"#{url.ref}" if url.ref else ""
        folder = f"{ref or '#'}:{url.folder}" if url.folder else ref
        remote = redacted(url.remote)
        for git in materials.git:
            if git.url == remote + ref:
                return ConfigSource(remote + folder, commit_digest(git.commit))
    for http in materials.http:
        if http.url == redacted(context):
            return ConfigSource(http.url, {http.digest.algorithm: http.digest.hex})
    return ConfigSource(redacted(context))


def commit_digest(name: str) -> dict[str, str]:
    """The digest of a commit, with its hash algorithm."""
    return {"sha256" if len(name) == 64 else "sha1": name}
