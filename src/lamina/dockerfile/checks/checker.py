"""Reports warnings of checks, unless the Dockerfile disables them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.base.redact import redacted
from lamina.dockerfile.contract import Warned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.base.location import Location
    from lamina.dockerfile.checks.options import CheckOptions
    from lamina.dockerfile.checks.rules import Rule


class Checker:
    """Reports warnings to `warn`, with links to their pages, and records their rules.

    Checkers that `within` makes share the record, so the error of `finish` lists all rules.
    """

    def __init__(
        self,
        options: CheckOptions,
        warn: Callable[[Warned], None],
        violated: set[str] | None = None,
    ) -> None:
        self._options = options
        self._warn = warn
        self._violated: set[str] = set() if violated is None else violated

    def report(self, rule: Rule, place: Location | None, detail: str) -> None:
        """Report a warning, unless the options disable it."""
        options = self._options
        if rule.experimental:
            if not options.experimental_all and rule.name not in options.experimental:
                return
        elif options.skip_all or rule.name in options.skip:
            return
        self._violated.add(rule.name)
        self._warn(Warned(rule.name, rule.description, rule.page, redacted(detail), place))

    def within(self, comments: Sequence[str]) -> Checker:
        """A checker for one instruction, with the options of a `# check=` comment directly above
        it."""
        if not any("check" in comment.lower() for comment in comments):
            return self
        from lamina.dockerfile.checks.options import parse_check_options
        from lamina.dockerfile.lexer import parse_directive

        for comment in comments:
            name, value = parse_directive(comment)
            if name != "check":
                continue
            try:
                options = parse_check_options(value.split(" ", 1)[0])
            except InvalidInput:
                # It may be an ordinary comment; BuildKit does not complain either.
                return self
            merged = self._options.with_comment(options)
            return Checker(merged, self._warn, self._violated)
        return self

    def finish(self) -> None:
        """Raise InvalidInput if there were warnings and `error=true` is set."""
        if self._options.error and self._violated:
            raise InvalidInput(
                f"lint violation found for rules: {', '.join(sorted(self._violated))}",
                hint="fix them, list them in `# check=skip=`, or remove error=true",
            )
