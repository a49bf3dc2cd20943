"""Which checks run: `# check=skip=…;experimental=…;error=true`."""

from __future__ import annotations

from lamina.base.booleans import parse_bool
from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple

_HINT = "write skip=Rule,Rule;experimental=Rule;error=true (or all in place of rules)"


class CheckOptions(NamedTuple):
    """Rules by name, and whether any warning is an error."""

    skip: frozenset[str] = frozenset()
    skip_all: bool = False
    experimental: frozenset[str] = frozenset()
    experimental_all: bool = False
    error: bool = False

    def with_comment(self, other: CheckOptions) -> CheckOptions:
        """These options with those of a comment above one instruction. It cannot set `error`."""
        return CheckOptions(
            self.skip | other.skip,
            self.skip_all or other.skip_all,
            self.experimental | other.experimental,
            self.experimental_all or other.experimental_all,
            self.error,
        )


def parse_check_options(text: str) -> CheckOptions:
    """Read the value of a `check` directive, or of BUILDKIT_DOCKERFILE_CHECK.

    Raises InvalidInput.
    """
    text = text.strip()
    options = CheckOptions()
    # A third part is not separated from the second (BuildKit).
    for part in text.split(";", 2) if text else ():
        key, equals, value = part.partition("=")
        key, value = key.strip(), value.strip()
        if not equals:
            raise InvalidInput(f'invalid check option "{part}"', hint=_HINT)
        match key:
            case "skip" if value == "all":
                options = options._replace(skip_all=True)
            case "skip":
                options = options._replace(skip=_names(value))
            case "experimental" if value == "all":
                options = options._replace(experimental_all=True)
            case "experimental":
                options = options._replace(experimental=_names(value))
            case "error":
                chosen = parse_bool(value)
                if chosen is None:
                    raise InvalidInput(
                        f'failed to parse check option "{part}": invalid syntax', hint=_HINT
                    )
                options = options._replace(error=chosen)
            case _:
                raise InvalidInput(f'invalid check option "{key}"', hint=_HINT)
    return options


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(","))
