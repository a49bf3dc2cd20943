"""Errors of templates."""

from __future__ import annotations


class Malformed(Exception):
    """A part of a template is wrong; `at` is its place. Becomes a TemplateError."""

    def __init__(self, reason: str, at: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.at = at


class WrongArguments(Exception):
    """A function does not take these arguments. Becomes a TemplateError."""
