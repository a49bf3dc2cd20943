"""Reads bake files: HCL, JSON and Compose, to targets, groups and variables."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.bake.attributes import make_group, make_target
from lamina.bake.definition import Definition, check_name, look_up_with
from lamina.bake.detect import sorted_by_format
from lamina.bake.hcl.syntax import Block, Body, Setting, Source, failure
from lamina.bake.resolver import Resolver
from lamina.bake.target import Group, unique
from lamina.bake.variables import VariableBlock, check, listed, read_variable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_BLOCKS = ("target", "group")


def read_definition(
    sources: Sequence[Source], built_in: Mapping[str, str], variables: Mapping[str, str]
) -> Definition:
    """Read files; later ones extend and override earlier ones.

    Args:
        built_in: variables that nothing can override.
        variables: the values of `--var`.

    Raises InvalidInput.
    """
    compose, bodies = sorted_by_format(sources, variables)
    definition = Definition()
    if compose:
        from lamina.bake.compose.project import read_compose

        definition = read_compose(compose, variables)
    if bodies:
        look_up = look_up_with(variables, os.environ)
        definition = _with_bodies(definition, bodies, built_in, look_up)
    return definition


def _with_bodies(
    definition: Definition,
    bodies: Sequence[Body],
    built_in: Mapping[str, str],
    look_up: Callable[[str], str | None],
) -> Definition:
    reserved = {*_BLOCKS, *built_in}
    blocks = [block for body in bodies for block in body.blocks]
    for block in blocks:
        if block.kind in (*_BLOCKS, "variable", "function") and len(block.labels) != 1:
            raise failure(f"a {block.kind} has one name", block.span)
    attributes: dict[str, Setting] = {}
    for body in bodies:
        for setting in body.settings:
            if setting.name not in (*reserved, "function"):
                attributes[setting.name] = setting
    variables = {
        block.labels[0]: read_variable(block)
        for block in _of_kind(blocks, "variable")
        if block.labels[0] not in reserved
    }
    functions = {
        block.labels[0]: block
        for block in _of_kind(blocks, "function")
        if block.labels[0] not in reserved
    }
    resolver = Resolver(variables, attributes, functions, built_in, look_up, check_name)
    found = tuple(listed(each, resolver.variable(name)) for name, each in variables.items())
    _check_all(variables.values(), resolver)
    for name in functions:
        resolver.function(name)
    definition = _with_blocks(
        definition, [block for block in blocks if block.kind in _BLOCKS], resolver
    )
    for name in attributes:
        resolver.variable(name)
    return definition._replace(variables=found)


def _of_kind(blocks: Iterable[Block], kind: str) -> Iterable[Block]:
    return (block for block in blocks if block.kind == kind)


def _check_all(variables: Iterable[VariableBlock], resolver: Resolver) -> None:
    for variable in variables:
        for validation in variable.validations:
            resolver.load(validation.condition)
            resolver.load(validation.message)
        check(variable, resolver.scope)


def _with_blocks(definition: Definition, blocks: Sequence[Block], resolver: Resolver) -> Definition:
    made = {id(block): resolver.add(block) for block in blocks}
    targets = {target.name: target for target in definition.targets}
    groups = {group.name: group for group in definition.groups}
    renamed: dict[str, list[str]] = {}
    for block in blocks:
        for name, known in resolver.finish(block):
            if block.kind == "target":
                target = make_target(name, known)
                before = targets.get(name)
                targets[name] = target if before is None else before.merged(target)
            else:
                if "targets" not in known:
                    raise failure(f'group "{name}" needs "targets"', block.span)
                groups[name] = make_group(name, known)
        if block.kind == "target" or made[id(block)] != [block.labels[0]]:
            renamed.setdefault(block.labels[0], []).extend(made[id(block)])
    for name, names in renamed.items():
        if set(names) != {name} and name not in groups:
            groups[name] = Group(name, tuple(names))
    unique_groups = (g._replace(targets=unique(g.targets)) for g in groups.values())
    return Definition(tuple(targets.values()), tuple(unique_groups))
