"""Checks of an instruction while it is converted, when its words are expanded."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lamina.dockerfile.args import SILENT_ARGS
from lamina.dockerfile.checks import rules

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lamina.base.patterns import PatternMatcher
    from lamina.dockerfile import instruction as ast
    from lamina.dockerfile.checks.checker import Checker
    from lamina.dockerfile.stage_state import StageState

# A whole name, or a word of it between underscores.
_SECRET = r"(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)"
_NO_SECRET = r"(?:_|^)(?:public|file|version)(?:_|$)"
_EVERYTHING = frozenset(("*", "**", "**/*"))


def names_secret(name: str) -> bool:
    """Whether the name of a variable suggests that its value is a secret."""
    return (
        re.search(_SECRET, name, re.IGNORECASE) is not None
        and re.search(_NO_SECRET, name, re.IGNORECASE) is None
    )


class StepChecks:
    """Checks of one instruction of a stage; `checker` is that of the whole Dockerfile."""

    def __init__(self, checker: Checker, state: StageState, instruction: ast.Instruction) -> None:
        self._checker = checker.within(instruction.node.comments)
        self._state = state
        self._node = instruction.node

    def variables(self, unset: Iterable[str]) -> None:
        """Check for undefined variables in a word."""
        state = self._state
        declared = {name for name, _ in state.args}
        for name in sorted(unset):
            if name in declared or name in SILENT_ARGS:
                continue
            from lamina.dockerfile.suggest import nearest

            near = nearest(name, tuple(state.env))
            more = f" (did you mean ${near}?)" if near else ""
            self._report(rules.UNDEFINED_VAR, f"Usage of undefined variable '${name}'{more}")

    def pairs(self, pairs: Iterable[ast.KeyValue]) -> None:
        """The old form of ENV and LABEL."""
        word = self._node.written
        for pair in pairs:
            if pair.legacy:
                self._report(
                    rules.LEGACY_KEY_VALUE_FORMAT,
                    f'"{word} key=value" should be used instead of legacy "{word} key value" '
                    "format",
                )

    def secret(self, name: str) -> None:
        """The name of an ARG or ENV: its value stays in the image."""
        if names_secret(name):
            self._report(
                rules.SECRETS_USED_IN_ARG_OR_ENV,
                "Do not use ARG or ENV instructions for sensitive data "
                f'({self._node.keyword} "{name}")',
            )

    def once(self) -> None:
        """CMD, ENTRYPOINT and HEALTHCHECK: only the last one of a stage has an effect."""
        node, seen = self._node, self._state.only_once
        if node.keyword in seen:
            # The location is that of the instruction without effect.
            self._checker.report(
                rules.MULTIPLE_INSTRUCTIONS_DISALLOWED,
                seen[node.keyword],
                f"Multiple {node.written} instructions should not be used in the same stage "
                "because only the last one will be used",
            )
        seen[node.keyword] = node.location

    def shell_form(self, *, chosen_shell: bool) -> None:
        """CMD and ENTRYPOINT in shell form, unless SHELL sets the shell."""
        if not chosen_shell:
            self._report(
                rules.JSON_ARGS_RECOMMENDED,
                f"JSON arguments recommended for {self._node.written} to prevent unintended "
                "behavior related to OS signals",
            )

    def working_directory(self, path: str) -> None:
        """The first WORKDIR of a stage and those below it."""
        if not self._state.entered and not path.startswith("/"):
            self._report(
                rules.WORKDIR_RELATIVE_PATH,
                f'Relative workdir "{path}" can have unexpected results if the base image changes',
            )
        self._state.entered = True

    def port(self, word: str) -> None:
        """A word of EXPOSE."""
        *before, container = word.split(":")
        protocol = container.partition("/")[2]
        if protocol != protocol.lower():
            self._report(
                rules.EXPOSE_PROTO_CASING,
                f"Defined protocol '{word}' in EXPOSE instruction should be lowercase",
            )
        if any(before):
            self._report(
                rules.EXPOSE_INVALID_FORMAT,
                "EXPOSE instruction should not define an IP address or host-port mapping, found "
                f"'{word}'",
            )

    def context_path(self, path: str, ignored: PatternMatcher) -> None:
        """A path of the build context that COPY or ADD takes.

        If the patterns have exceptions there is no warning: what they include again is not known.
        """
        if ignored.has_exceptions or not ignored.patterns:
            return
        from lamina.base.patterns import clean

        path = clean(path)
        if path in (".", "/") and not any(p.text in _EVERYTHING for p in ignored.patterns):
            return
        if ignored.matches(path):
            verb = "Add" if self._node.keyword == "ADD" else "Copy"
            self._report(
                rules.COPY_IGNORED_FILE,
                f'Attempting to {verb} file "{path}" that is excluded by .dockerignore',
            )

    def _report(self, rule: rules.Rule, detail: str) -> None:
        self._checker.report(rule, self._node.location, detail)
