"""The command that connects to a daemon on another machine (BuildKit's `connhelper/ssh`)."""

from __future__ import annotations

from lamina.base.errors import InvalidInput


def ssh_command(address: str) -> list[str]:
    """The command for `ssh://[user@]host[:port][/path/of/socket]`.

    It runs `dial-stdio` there: that of lamina, which needs no daemon, or else that of buildctl.
    Raises InvalidInput.
    """
    from shlex import quote
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidInput(f"invalid address {address!r}: {error}") from error
    if not host or parts.password or parts.query or parts.fragment:
        raise InvalidInput(
            f"invalid address {address!r}", hint="use ssh://[user@]host[:port][/path/of/socket]"
        )
    options = ["-l", parts.username] if parts.username else []
    options += ["-p", str(port)] if port else []
    path = parts.path.rstrip("/")
    daemon = quote(f"unix://{path}")
    ours = f"lamina --builder {daemon} dial-stdio" if path else "lamina dial-stdio"
    theirs = f"buildctl --addr {daemon} dial-stdio" if path else "buildctl dial-stdio"
    script = f"command -v lamina >/dev/null 2>&1 && exec {ours}; exec {theirs}"
    # Without BatchMode ssh would ask for a password on a terminal that shows progress.
    return ["ssh", "-o", "BatchMode=yes", *options, "--", host, script]
