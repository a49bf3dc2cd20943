"""The frontend calls that made definitions which other calls have as inputs.

A client may solve with one frontend and pass the result to another one: provenance then records
both calls. A definition does not name its frontend, so calls are recorded while their builds run.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lamina.base.digest import digest_of
from lamina.llb.codec import decode_op

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lamina.attest.contract import FrontendCall
    from lamina.llb.op import Definition


class DefinitionOrigins:
    """The calls of all running builds. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[str, list[FrontendCall]] = {}

    def add(self, definition: Definition | None, call: FrontendCall) -> str:
        """Record the call that made a definition. Returns the key for `drop`, "" if nothing was
        recorded."""
        key = _result_of(definition)
        if key:
            with self._lock:
                self._calls.setdefault(key, []).append(call._replace(root=None))
        return key

    def drop(self, added: Iterable[tuple[str, FrontendCall]]) -> None:
        """Remove a recorded call."""
        with self._lock:
            for key, call in added:
                calls = self._calls[key]
                calls.remove(call._replace(root=None))
                if not calls:
                    del self._calls[key]

    def of(self, inputs: Mapping[str, Definition]) -> dict[str, FrontendCall]:
        """The calls that made the inputs, by name, as far as known and unambiguous."""
        found = {}
        for name, definition in inputs.items():
            with self._lock:
                calls = list(self._calls.get(_result_of(definition), ()))
            if calls and all(_same(calls[0], call) for call in calls[1:]):
                found[name] = calls[0]
        return found


def _same(one: FrontendCall, other: FrontendCall) -> bool:
    from lamina.attest.invocation import recorded

    return (one.frontend, recorded(one.attrs), one.origins) == (
        other.frontend,
        recorded(other.attrs),
        other.origins,
    )


def _result_of(definition: Definition | None) -> str:
    """The step of a definition's result: clients may encode the last op differently."""
    if definition is None or not definition.ops:
        return ""
    last = decode_op(definition.ops[-1])
    return str(last.inputs[0].digest) if last.inputs else str(digest_of(definition.ops[-1]))
