"""Parses Compose files: YAML 1.2's scalars, merge keys, `!reset` and `!override`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lamina.bake.hcl.syntax import Source, Span, failure
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    import yaml


class Reset(NamedTuple):
    """`!reset`: removes what earlier files say."""


class Override(NamedTuple):
    """`!override`: replaces what earlier files say."""

    value: Any


_SCALARS = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+0123456789."),
    ("merge", r"<<", "<"),
)


def parse_compose(source: Source) -> dict[str, Any]:
    """The mapping in a file. Raises InvalidInput."""
    import yaml

    try:
        document = yaml.load(source.text, _loader())
    except yaml.MarkedYAMLError as error:
        at = 0 if error.problem_mark is None else min(error.problem_mark.index, len(source.text))
        raise failure(f"malformed YAML: {error.problem}", Span(source, at, at + 1)) from None
    except (yaml.YAMLError, ValueError) as error:
        raise failure(f"malformed YAML: {error}", Span(source, 0, 1)) from None
    except RecursionError:
        raise failure("the YAML is nested too deeply", Span(source, 0, 1)) from None
    if not isinstance(document, dict):
        raise failure("a Compose file is a mapping", Span(source, 0, 1))
    return document


_loaders: list[type[yaml.SafeLoader]] = []


def _loader() -> type[yaml.SafeLoader]:
    """The loader's class, made when it is first needed: PyYAML is imported for it."""
    if not _loaders:
        import yaml

        class Loader(yaml.SafeLoader):
            pass

        Loader.yaml_implicit_resolvers = {}
        for kind, pattern, first in _SCALARS:
            compiled = re.compile(rf"(?:{pattern})\Z")
            starts = [char if char != "\0" else "" for char in first]
            Loader.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", compiled, starts)
        Loader.add_constructor("!reset", lambda *_: Reset())
        Loader.add_constructor("!override", _override)
        Loader.add_constructor("tag:yaml.org,2002:int", _integer)
        _loaders.append(Loader)
    return _loaders[0]


def _override(loader: yaml.SafeLoader, node: yaml.Node) -> Override:
    import yaml

    match node:
        case yaml.MappingNode():
            return Override(loader.construct_mapping(node, deep=True))
        case yaml.SequenceNode():
            return Override(loader.construct_sequence(node, deep=True))
        case yaml.ScalarNode():
            return Override(loader.construct_scalar(node))
    return Override(None)


def _integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
