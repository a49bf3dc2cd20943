"""`build`'s PATH and `--file`: a directory, a URL, or standard input."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import IO, TYPE_CHECKING

from lamina.base.errors import InvalidInput, NotFound
from lamina.base.git_url import is_git_context
from lamina.cli.archive import BLOCK, is_archive, unpack
from lamina.cli.remote import cloned, open_url
from lamina.cli.values import is_remote
from lamina.client.contract import ContextSpec, SessionProviders

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.client.contract import NamedContext

_DOCKERFILE_LIMIT = 16 << 20
_PIECE = 256 << 10
_NOTHING = SessionProviders()


@contextmanager
def open_context(
    path: str,
    file: str,
    named: tuple[NamedContext, ...],
    stdin: IO[bytes],
    providers: SessionProviders = _NOTHING,
    *,
    fetched: bool = True,
) -> Iterator[ContextSpec]:
    """Find the context and the Dockerfile. Downloaded files are kept for the block.

    Args:
        path: a directory, a git repository, the URL of a Dockerfile or a tar archive (also
            compressed), or `-` for one of the latter two on `stdin`.
        file: `--file`: a path or a URL, `-` for `stdin`, "" if not given.
        providers: secrets and agents, for private repositories.
        fetched: whether to fetch a remote context; otherwise the engine does.

    Raises InvalidInput, NotFound, Unavailable, Corrupt.
    """
    if path == "-" and file == "-":
        raise InvalidInput(
            "standard input cannot be both the context and the Dockerfile",
            hint="give a directory as PATH, or a file with -f",
        )
    if is_remote(file):
        with (
            open_url(file, providers) as (response, _),
            open_context(path, "-", named, response, providers, fetched=fetched) as found,
        ):
            yield found
    elif not fetched and (is_git_context(path) or is_remote(path)):
        yield _remote_context(path, file, stdin)._replace(named=named)
    elif is_git_context(path):
        with cloned(path, providers) as (folder, made_at):
            yield _within(folder, file, path)._replace(named=named, made_at=made_at)
    elif is_remote(path):
        with (
            open_url(path, providers) as (response, modified),
            _from_stream(response, path, file, named, unpacked=True) as found,
        ):
            yield found if modified is None else found._replace(made_at=modified)
    elif path == "-":
        with _from_stream(stdin, "standard input", file, named, unpacked=fetched) as found:
            yield found
    else:
        yield _from_folder(path, file, stdin)._replace(named=named)


@contextmanager
def _from_stream(
    stream: IO[bytes], shown: str, file: str, named: tuple[NamedContext, ...], *, unpacked: bool
) -> Iterator[ContextSpec]:
    """A Dockerfile, or an archive that contains one."""
    head = stream.read(BLOCK)
    if not head:
        raise InvalidInput(f"{shown} is empty", hint="`lamina build - < Dockerfile`")
    if not is_archive(head):
        if file:
            raise InvalidInput(
                f"{shown} and --file both contain a Dockerfile",
                hint="give only one of them, or send a tar archive",
            )
        yield ContextSpec("", "Dockerfile", _read_dockerfile(stream, head), named)
        return
    if not unpacked:
        rest = iter(partial(stream.read, _PIECE), b"")
        yield ContextSpec("", file, None, named, archive=chain((head,), rest))
        return
    from lamina.system.removal import temporary_folder

    with temporary_folder("lamina-context-") as to:
        unpack(head, stream, to)
        newest = _newest(to)
        yield _within(to, file, "the archive")._replace(named=named, made_at=newest)


def _newest(folder: str) -> int | None:
    """The time of the newest file below a directory, in seconds since 1970."""
    import stat

    from lamina.system.descent import walk_tree

    times = (
        visit.status.st_mtime_ns // 10**9
        for visit in walk_tree(folder)
        if stat.S_ISREG(visit.status.st_mode)
    )
    return max(times, default=None)


def _remote_context(path: str, file: str, stdin: IO[bytes]) -> ContextSpec:
    """A context that the engine fetches. `--file` is a name in it, unless it is absolute."""
    if file == "-":
        return ContextSpec("", "Dockerfile", _read_dockerfile(stdin, b""), url=path)
    return ContextSpec("", file, url=path)


def _within(folder: str, file: str, shown: str) -> ContextSpec:
    name = file or os.path.basename(_default_dockerfile(folder, shown))
    return ContextSpec(folder, _beneath(folder, name, shown))


def _from_folder(path: str, file: str, stdin: IO[bytes]) -> ContextSpec:
    folder = os.path.abspath(path)
    if not os.path.exists(folder):
        raise NotFound(f'path "{path}" not found{_similar(folder)}')
    if not os.path.isdir(folder):
        raise InvalidInput(
            f'path "{path}" is not a directory',
            hint=f"the argument is the context; to name a Dockerfile use -f {path}",
        )
    if file == "-":
        return ContextSpec(folder, "Dockerfile", _read_dockerfile(stdin, b""))
    if not file:
        return ContextSpec(folder, _default_dockerfile(folder, path))
    dockerfile = os.path.abspath(file)
    if os.path.isdir(dockerfile):
        raise InvalidInput(f"--file {file} is a directory", hint="name the Dockerfile in it")
    if not os.path.exists(dockerfile):
        raise NotFound(f"--file {file}: no such file{_similar(dockerfile)}")
    if not os.path.isfile(dockerfile):  # a pipe, for example a shell's `<(…)`
        with open(dockerfile, "rb") as pipe:
            return ContextSpec(folder, "Dockerfile", _read_dockerfile(pipe, b""))
    return ContextSpec(folder, dockerfile)


def _default_dockerfile(folder: str, shown: str) -> str:
    for name in ("Dockerfile", "dockerfile"):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            return path
        if os.path.lexists(path):
            raise InvalidInput(
                f"{name} in {shown} is not a regular file", hint="name another one with -f"
            )
    others = sorted(name for name in os.listdir(folder) if "dockerfile" in name.lower())
    hint = f"there is {others[0]}: name it with -f" if others else "name another one with -f"
    raise NotFound(f"no Dockerfile in {shown}", hint=hint)


def _similar(path: str) -> str:
    from lamina.cli.flags import suggestion

    try:
        return suggestion(os.path.basename(path), os.listdir(os.path.dirname(path)))
    except OSError:
        return ""


def _read_dockerfile(stdin: IO[bytes], head: bytes) -> bytes:
    data = head + stdin.read(_DOCKERFILE_LIMIT + 1)
    if not data.strip():
        raise InvalidInput("the Dockerfile on standard input is empty")
    if len(data) > _DOCKERFILE_LIMIT:
        raise InvalidInput("standard input is neither a Dockerfile nor a tar archive")
    return data


def _beneath(folder: str, file: str, shown: str) -> str:
    path = os.path.realpath(os.path.join(folder, file.lstrip("/")))
    if os.path.commonpath((os.path.realpath(folder), path)) != os.path.realpath(folder):
        raise InvalidInput(f"the Dockerfile {file} is outside of {shown}")
    if not os.path.isfile(path):
        raise NotFound(f"there is no file {file} in {shown}")
    return path
