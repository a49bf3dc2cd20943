"""Constructors for the fields of a message's table."""

from __future__ import annotations

from typing import Any

from lamina.wire.protobuf import Field, Kind, Label


def string(number: int, attribute: str) -> Field:
    return Field(number, attribute, Kind.STRING)


def strings(number: int, attribute: str) -> Field:
    return Field(number, attribute, Kind.STRING, Label.REPEATED)


def integer(number: int, attribute: str, enum: Any = None) -> Field:
    return Field(number, attribute, Kind.INT, type=enum)


def optional_integer(number: int, attribute: str) -> Field:
    """None if absent, which differs from 0."""
    return Field(number, attribute, Kind.INT, Label.OPTIONAL)


def integers(number: int, attribute: str) -> Field:
    return Field(number, attribute, Kind.INT, Label.REPEATED)


def boolean(number: int, attribute: str) -> Field:
    return Field(number, attribute, Kind.BOOL)


def data(number: int, attribute: str) -> Field:
    return Field(number, attribute, Kind.BYTES)


def datas(number: int, attribute: str) -> Field:
    return Field(number, attribute, Kind.BYTES, Label.REPEATED)


def one(number: int, attribute: str, message: Any) -> Field:
    return Field(number, attribute, Kind.MESSAGE, Label.OPTIONAL, message)


def choice(number: int, attribute: str, message: Any) -> Field:
    """A member of a oneof."""
    return Field(number, attribute, Kind.MESSAGE, Label.CHOICE, message)


def many(number: int, attribute: str, message: Any) -> Field:
    return Field(number, attribute, Kind.MESSAGE, Label.REPEATED, message)


def mapping(number: int, attribute: str, kind: Kind = Kind.STRING, message: Any = None) -> Field:
    return Field(number, attribute, kind, Label.MAP, message)
