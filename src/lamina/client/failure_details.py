"""The details of the error that ended a recorded build."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import LaminaError
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from lamina.api.history import BuildHistoryRecord
    from lamina.client.build_history import BuildHistory


class FailureDetails(NamedTuple):
    """`excerpt` are the lines of the Dockerfile around the error, "" if they are not known."""

    hint: str = ""
    excerpt: str = ""


def failure_details(history: BuildHistory, record: BuildHistoryRecord) -> FailureDetails:
    """The hint and the excerpt of the error of a record, as far as the record has them."""
    from lamina.api.failures import from_status
    from lamina.api.status import SCHEMA, Status, error_of
    from lamina.wire.protobuf import decode

    if record.external_error is None:
        return FailureDetails()
    try:
        status: Status = decode(history.blob(record.external_error.digest), Status, SCHEMA)
        error = from_status(error_of(status))
    except LaminaError:
        return FailureDetails()  # the message of the record is used
    excerpt = "" if error.location is None else error.location.excerpt()
    return FailureDetails(error.hint, excerpt)
