"""The `lamina` command: finds the subcommand, and imports only its module.

Exit status: 0, or that of `run`'s command; 1 for every error (2 of `diff`); 130 when interrupted.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

from lamina.base.errors import Cancelled, InvalidInput
from lamina.cli.commands import COMMANDS, GROUPS
from lamina.cli.flags import HelpWanted, parse, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import NoReturn

    from lamina.cli.flags import Command, Parsed

INTERRUPTED = 130
GLOBAL_FLAGS = frozenset(("--root", "--builder"))
"""Flags that may precede the command, and have a value. Commands without such a flag ignore it."""


def entry() -> NoReturn:
    """Run `sys.argv` as a process."""
    run_process(main)


def run_process(run: Callable[[], int]) -> NoReturn:
    """End the process with the exit status of a function.

    A cached build ends before the cyclic garbage collector finds anything, and everything is closed
    when `main` returns. So the collector is off, and the interpreter is not finalized: both would
    only take a tenth of the time.
    """
    import gc

    from lamina.system.descriptors import open_standard_descriptors

    open_standard_descriptors()
    _take_names_as_utf8()
    if sys.stdout.isatty() or sys.stderr.isatty():
        from lamina.cli.terminal import filter_standard_streams

        filter_standard_streams()
    gc.set_threshold(100_000, 10, 10)
    status = run()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(status)


def _take_names_as_utf8() -> None:
    """Restart in Python's UTF-8 mode if the encoding of the locale is another one.

    File names are bytes, and Dockerfiles are UTF-8. With another encoding a name in a Dockerfile
    would not match the one on disk.
    """
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode and sys.executable:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (by default `sys.argv`) and return the exit status."""
    try:
        try:
            status = _dispatch(list(sys.argv[1:] if arguments is None else arguments))
            sys.stdout.flush()
            return status
        except BrokenPipeError:
            # The reader of standard output has closed it. Redirect the stream to /dev/null, or the
            # interpreter reports an error when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except Cancelled as error:
            from lamina.cli.errors import report

            report(error)
            return INTERRUPTED
        except Exception as error:
            from lamina.cli.errors import report

            report(error)
            return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _dispatch(arguments: list[str]) -> int:
    flags: list[str] = []
    while arguments:
        word = arguments.pop(0)
        if word in GLOBAL_FLAGS and arguments:
            flags.append(f"{word}={arguments.pop(0)}")
        elif word.partition("=")[0] in GLOBAL_FLAGS:
            flags.append(word)
        elif word in ("-D", "--debug"):
            os.environ["LAMINA_DEBUG"] = "1"
        elif word in ("-h", "--help", "help"):
            return show_help(arguments)
        elif word in ("-v", "--version"):
            return run_command("version", [])
        elif word.startswith("-"):
            raise InvalidInput(f"unknown flag: {word}", hint="`lamina --help` lists the commands")
        else:
            name, rest = COMMANDS.split([word, *arguments])
            known = COMMANDS[name].flags if name in COMMANDS else ()
            taken = {f"--{flag.name}" for flag in known} & GLOBAL_FLAGS
            given = [flag for flag in flags if flag.partition("=")[0] in taken]
            return run_command(name, [*given, *rest])
    return show_help([])


def run_command(name: str, arguments: list[str]) -> int:
    """Run a command, which may be unknown, and return its exit status. Raises LaminaError."""
    command = COMMANDS.get(name)
    if command is None:
        return _without_command(name, arguments)
    try:
        parsed = parse(command, arguments)
    except HelpWanted:
        return show_help([name])
    except InvalidInput as error:
        return _failed(command, error)
    if parsed.switch("debug"):
        os.environ["LAMINA_DEBUG"] = "1"
    try:
        return _handler(command.handler)(parsed)
    except (Cancelled, BrokenPipeError):
        raise
    except Exception as error:
        return _failed(command, error)


def _without_command(name: str, arguments: list[str]) -> int:
    """Show the help of a group of commands. Raises InvalidInput for all other words."""
    rest = [word for word in arguments if word not in ("-h", "--help")]
    if name in GROUPS and not rest:
        return show_help([name])
    known: Iterable[str] = COMMANDS
    if name in GROUPS:
        known = [command.name for command in COMMANDS.group(name)]
        name = f"{name} {rest[0]}"
    raise InvalidInput(
        f'unknown command "{name}"{suggestion(name, known)}',
        hint=f"`lamina {name.rpartition(' ')[0]} --help` lists the commands".replace("  ", " "),
    )


def _failed(command: Command, error: Exception) -> int:
    from lamina.cli.errors import report

    report(error)
    return command.failure


def _handler(name: str) -> Handler:
    module_name, _, function = name.partition(":")
    from importlib import import_module

    handler: Handler = getattr(import_module(f"lamina.cli.{module_name}"), function)
    return handler


def show_help(words: list[str]) -> int:
    """Print the help of a command, a group of commands, or all. Raises InvalidInput."""
    from lamina.cli.help import command_help, group_help, overview

    if not words:
        print(overview(COMMANDS))
        return 0
    name, _ = COMMANDS.split(words[:1] if words[0] in COMMANDS else words)
    if (command := COMMANDS.get(name)) is not None:
        print(command_help(command))
    elif name in GROUPS:
        print(group_help(name, COMMANDS.group(name)))
    else:
        raise InvalidInput(f'unknown command "{name}"{suggestion(name, COMMANDS)}')
    return 0


if TYPE_CHECKING:
    Handler = Callable[[Parsed], int]


if __name__ == "__main__":
    entry()
