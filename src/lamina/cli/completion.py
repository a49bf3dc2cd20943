"""`lamina completion`: scripts for bash, zsh and fish, generated from the table of flags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.cli.commands import COMMANDS, GROUPS

if TYPE_CHECKING:
    from lamina.cli.flags import Command, Flag, Parsed

_IMAGES = "lamina images --format names 2>/dev/null"
_MOUNTS = "lamina cache ls --format names 2>/dev/null"
_BUILDERS = "lamina ls --format names 2>/dev/null"
_NAMES = {"image": _IMAGES, "builder": _BUILDERS}
"""The commands that print the names for a kind of argument."""


def run(parsed: Parsed) -> int:
    """Print the script for a shell."""
    print(script(parsed.arguments[0]))
    return 0


def script(shell: str) -> str:
    """The script for `bash`, `zsh` or `fish`. Raises InvalidInput for other names."""
    match shell:
        case "bash":
            return _bash()
        case "zsh":
            return _zsh()
        case "fish":
            return _fish()
    from lamina.base.errors import InvalidInput

    raise InvalidInput(
        f'no completion script for the shell "{shell}"', hint="choose bash, zsh or fish"
    )


def _first_words() -> list[str]:
    """The commands, and the groups of commands with two words."""
    return list(dict.fromkeys(name.partition(" ")[0] for name in COMMANDS))


def _second_words(group: str) -> list[str]:
    return [command.name.split()[1] for command in COMMANDS.group(group)]


def _words(command: Command) -> list[str]:
    words = [f"--{flag.name}" for flag in command.flags]
    words += [f"-{flag.short}" for flag in command.flags if flag.short]
    return [*words, "--help"]


def _bash() -> str:
    lines = [
        "# bash completion for lamina: source <(lamina completion bash)",
        "_lamina_files() { compopt -o filenames 2>/dev/null;"
        ' mapfile -t COMPREPLY < <(compgen "$1" -- "$2"); }',
        '_lamina_words() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2"); }',
        "_lamina() {",
        '  local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" command=""',
        "  local i",
        # bash splits words at `=` and `:`. Join `--flag = value` again.
        '  if [[ $word == "=" ]]; then word=""; fi',
        '  if [[ $before == "=" ]]; then before="${COMP_WORDS[COMP_CWORD-2]}"; fi',
        "  for ((i = 1; i < COMP_CWORD; i++)); do",
        '    case "${COMP_WORDS[i]}" in',
        "      --root|--builder) i=$((i + 1)) ;;",
        "      -*) ;;",
        '      *) command="${command:+$command }${COMP_WORDS[i]}"',
        f'        case "$command" in {"|".join(GROUPS)}) ;; *) break ;; esac ;;',
        "    esac",
        "  done",
        "  COMPREPLY=()",
        '  case "$command" in',
        f"    '') _lamina_words '{' '.join(_first_words())} --root --builder --help --version'"
        ' "$word" ;;',
    ]
    for group in GROUPS:
        lines.append(f"    {group}) _lamina_words '{' '.join(_second_words(group))}' \"$word\" ;;")
    for command in COMMANDS.values():
        lines += [f"    '{command.name}')", '      case "$before" in']
        lines += [_bash_flag(flag) for flag in command.flags if flag.value and not flag.optional]
        lines += [
            f"        *) if [[ $word == -* ]]; then _lamina_words '{' '.join(_words(command))}'"
            ' "$word"',
            f"          else {_bash_arguments(command)}; fi ;;",
            "      esac ;;",
        ]
    return "\n".join([*lines, "  esac", "}", "complete -F _lamina lamina"])


def _bash_flag(flag: Flag) -> str:
    names = f"--{flag.name}" + (f"|-{flag.short}" if flag.short else "")
    return f"        {names}) {_bash_values(flag.choices, flag.complete)} ;;"


def _bash_arguments(command: Command) -> str:
    return _bash_values(command.choices, command.complete)


def _bash_values(choices: tuple[str, ...], complete: str) -> str:
    if complete == "mount":
        words = " ".join(choices)
        return f'_lamina_words "{words} $({_MOUNTS})" "$word"'
    if choices:
        return f"_lamina_words '{' '.join(choices)}' \"$word\""
    if complete in ("file", "directory"):
        return f'_lamina_files -{complete[0]} "$word"'
    if complete in _NAMES:
        return f'_lamina_words "$({_NAMES[complete]})" "$word"'
    return ":"


def _zsh() -> str:
    lines = [
        "#compdef lamina",
        "# zsh completion for lamina: source <(lamina completion zsh)",
        '_lamina_images() { local -a names; names=(${(f)"$(' + _IMAGES + ')"}); compadd -a names }',
        '_lamina_builders() { local -a names; names=(${(f)"$(' + _BUILDERS + ')"});'
        " compadd -a names }",
        '_lamina_mounts() { local -a names; names=(${(f)"$(' + _MOUNTS + ')"});'
        " compadd $@ -a names }",
        "_lamina() {",
        "  local context state state_descr line",
        "  typeset -A opt_args",
        "  _arguments -C '--root[the store]:directory:_files -/'"
        " '--builder[the builder]:builder:_lamina_builders'"
        " '1: :->command' '*:: :->rest'",
        "  case $state in",
        "    command)",
        "      local -a commands; commands=(",
        *(f"        {_quoted(f'{c.name}:{c.summary}')}" for c in COMMANDS.values() if _is_one(c)),
        *(f"        {_quoted(f'{name}:{about}')}" for name, about in GROUPS.items()),
        "      )",
        "      _describe command commands ;;",
        "    rest)",
        "      local name=$words[1]",
        "      case $name in",
    ]
    for group in GROUPS:
        words = " ".join(_second_words(group))
        lines.append(f"        {group}) if (( CURRENT == 2 )); then compadd {words}; return; fi")
        lines.append('          name="$name $words[2]" ;;')
    lines += ["      esac", "      case $name in"]
    for command in COMMANDS.values():
        lines.append(f"        '{command.name}') _arguments -s \\")
        if not _is_one(command):
            lines.append("          '1: :()' \\")
        for flag in command.flags:
            lines += [f"          {spec} \\" for spec in _zsh_flag(flag)]
        action = _zsh_action(command.choices, command.complete)
        if command.complete == "mount":
            lines.append(f"          {_quoted(f'1:command:{action}')} \\")
            action = "_lamina_mounts"
        # With an empty action zsh would show a message, and insert nothing.
        shown = f"*:argument:{action}" if action else "*: :()"
        lines.append(f"          {_quoted(shown)} ;;")
    lines += ["      esac ;;", "  esac", "}"]
    # A sourced script registers the function; one that is found in $fpath calls it.
    ending = 'if [[ $funcstack[1] == _lamina ]]; then _lamina "$@"; else compdef _lamina lamina; fi'
    return "\n".join([*lines, ending])


def _zsh_flag(flag: Flag) -> list[str]:
    star = "*" if flag.repeat else ""
    about = flag.help.replace("[", "(").replace("]", ")").replace(":", "\\:")
    value = ""
    if flag.value and not flag.optional:
        label = flag.name.replace("-", " ")
        value = f":{label}:{_zsh_action(flag.choices, flag.complete)}"
    long = f"{star}--{flag.name}{'=' if value else ''}[{about}]{value}"
    specs = [_quoted(long)]
    if flag.short:
        specs.append(_quoted(f"{star}-{flag.short}{'+' if value else ''}[{about}]{value}"))
    return specs


def _zsh_action(choices: tuple[str, ...], complete: str) -> str:
    if choices:
        return f"({' '.join(choices)})"
    functions = {
        "file": "_files",
        "directory": "_files -/",
        "image": "_lamina_images",
        "builder": "_lamina_builders",
    }
    return functions.get(complete, "")


def _fish() -> str:
    lines = [
        "# fish completion for lamina: lamina completion fish | source",
        "complete -c lamina -f",
        "complete -c lamina -n __fish_use_subcommand -l root -r -F -d 'The store'",
    ]
    for group, text in GROUPS.items():
        about = _quoted(text)
        lines.append(f"complete -c lamina -n __fish_use_subcommand -a {group} -d {about}")
    for command in COMMANDS.values():
        about = _quoted(command.summary)
        group, _, word = command.name.rpartition(" ")
        here = f"__fish_seen_subcommand_from {word}"
        if group:
            seen = f"__fish_seen_subcommand_from {group}"
            others = " ".join(_second_words(group))
            first = f"'{seen}; and not __fish_seen_subcommand_from {others}'"
            here = f"{seen}; and {here}"
        else:
            first = "__fish_use_subcommand"
            if word in _reused_words():
                here += f"; and not __fish_seen_subcommand_from {' '.join(GROUPS)}"
        lines.append(f"complete -c lamina -n {first} -a {word} -d {about}")
        here = f"complete -c lamina -n '{here}'"
        lines.extend(f"{here} {_fish_flag(flag)}" for flag in command.flags)
        if values := _fish_values(command.choices, command.complete):
            lines.append(f"{here} {values}")
    return "\n".join(lines)


def _reused_words() -> set[str]:
    """Second words of commands that are commands too."""
    return {word for group in GROUPS for word in _second_words(group)}


def _is_one(command: Command) -> bool:
    """Whether the name of a command has only one word."""
    return " " not in command.name


def _fish_flag(flag: Flag) -> str:
    parts = [f"-l {flag.name}"]
    if flag.short:
        parts.append(f"-s {flag.short}")
    if flag.value and not flag.optional:
        parts.append("-x" if flag.choices or flag.complete in _NAMES else "-r")
        if values := _fish_values(flag.choices, flag.complete):
            parts.append(values)
    parts.append(f"-d {_quoted(flag.help)}")
    return " ".join(parts)


def _fish_values(choices: tuple[str, ...], complete: str) -> str:
    if complete == "mount":
        return "-a " + _quoted(" ".join(choices) + f" ({_MOUNTS})")
    if choices:
        return f"-a {_quoted(' '.join(choices))}"
    if complete in _NAMES:
        return f"-a {_quoted(f'({_NAMES[complete]})')}"
    if complete == "directory":
        return "-a '(__fish_complete_directories)'"
    return "-F" if complete == "file" else ""


def _quoted(text: str) -> str:
    """Quote a word for any of the shells."""
    return "'" + text.replace("'", "'\\''") + "'"
