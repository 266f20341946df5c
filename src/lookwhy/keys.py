"""Parser for the keys of a result's scalars.

A key in `summary.json` names the parts of a measurement, separated by slashes::

    image/<method>/<measure>                          agreement with the annotators
    image/<method>/localisation/<measure>             agreement with exact masks
    question/<method>/most_important/<group>          P(most important | part of speech)
    <domain>/<method>/faithfulness/<measure>          whether the maps are true to the model
    image/<method>/<measure>_with_agreement           over questions, its correlation with the agreement
    agreement_with/<measure>                          the mean of these over methods
    <domain>/<method>/sanity/<what is random>/<measure>
    failure/<feature set>/<measure>                   also the keys of the curves
    selective/<score>/<measure>
    accuracy/overall, accuracy/<kind of type>/<type>
    modality/text_share
    slice/<by>/<value>/<any key above>

Further values of a measurement add an ending to its key: `/ci_low`, `/ci_high`, `/n`, `/n_undefined`,
`/expected` or `/p`. A type or the value of a slice may contain a slash ("yes/no"), so splitting a key at
every slash would be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

FIELDS = ("ci_low", "ci_high", "n", "n_undefined", "expected", "p")
"""Endings of the keys of a measurement's further values."""

_BY_METHOD = ("image", "question", "failure", "selective")
_DOMAINS = (*_BY_METHOD, "accuracy", "modality", "agreement_with")


@dataclass(frozen=True)
class Row:
    """One measurement with its interval and counts.

    Attributes:
        domain: first part of the key: "image", "question", "failure", "accuracy", ...
        method: attribution method, feature set or score; empty where the domain has none.
        measure: for example "rank_correlation", "faithfulness/deletion", "overall" or "answer_type".
        group: part of speech, type of the questions, or the part that a sanity check randomises; else empty.
        slice: subset of the questions as (by, value), for example ("answer_type", "yes/no"); None: all.
        value: the measured value; None where it is undefined.
        ci_low: lower end of the 95% interval; None without an interval.
        ci_high: upper end of the 95% interval.
        n: number of questions (or words) behind the value; None where it is not counted.
        n_undefined: number of questions left out because their value is undefined.
        expected: the value that chance would give.
        p: p-value of its test; None without one.
    """

    domain: str
    method: str = ""
    measure: str = ""
    group: str = ""
    slice: tuple[str, str] | None = None
    value: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    n: float | None = None
    n_undefined: float | None = None
    expected: float | None = None
    p: float | None = None

    @property
    def key(self) -> str:
        """Key of the value in `summary.json`."""
        family, _, measure = self.measure.rpartition("/")
        # Only a sanity check names its group before the measure.
        parts = [family, self.group, measure] if family == "sanity" else [self.measure, self.group]
        first = ["slice", *self.slice] if self.slice else []
        return "/".join(part for part in [*first, self.domain, self.method, *parts] if part)


def table(summary: Mapping[str, float]) -> list[Row]:
    """Convert scalars by key (`AnalysisResult.summary`) to one row per measurement, in the same order.

    Example:
        >>> table({"image/occlusion/rank_correlation": 0.3, "image/occlusion/rank_correlation/n": 8.0})[0].n
        8.0
        >>> table({"accuracy/answer_type/yes/no": 0.7})[0].group
        'yes/no'
    """
    found: dict[Row, dict[str, Any]] = {}
    for key, value in summary.items():
        row, field = parse(key)
        found.setdefault(row, {})[field] = value
    return [replace(row, **values) for row, values in found.items()]


@lru_cache(maxsize=10_000)
def parse(key: str) -> tuple[Row, str]:
    """Split a key into its row (without values) and the name of the row's field that holds the value.

    In a key of an unknown form, the first part is the domain and the rest is the measure.

    Example:
        >>> row, field = parse("slice/answer_type/yes/no/image/occlusion/rank_correlation/ci_low")
        >>> row.slice, row.method, field
        (('answer_type', 'yes/no'), 'occlusion', 'ci_low')
    """
    parts = key.split("/")
    if parts[0] == "slice":
        # The value of the slice ends where the remaining parts are a valid key by themselves.
        for at in range(3, len(parts)):
            if parts[at] in _DOMAINS and (found := _measurement(parts[at:])):
                row, field = found
                return replace(row, slice=(parts[1], "/".join(parts[2:at]))), field
    return _measurement(parts) or (Row(parts[0], measure="/".join(parts[1:])), "value")


def _measurement(parts: list[str]) -> tuple[Row, str] | None:
    """Row and field of a key without its slice; None if the form of the key is unknown."""
    domain, rest = parts[0], parts[1:]
    if domain == "accuracy" and len(rest) > 1 and rest[0] != "overall":
        # A type may have any name, even "n". So all remaining parts are the type, and none is a field.
        return Row(domain, measure=rest[0], group="/".join(rest[1:])), "value"
    method = rest.pop(0) if domain in _BY_METHOD and rest else ""
    # A last part such as "n" is a field only after a measure. In `failure/<feature set>/n` it is the measure.
    field = rest.pop() if len(rest) > 1 and rest[-1] in FIELDS else "value"
    if domain not in _DOMAINS or not rest:
        return None
    if rest[0] == "most_important":
        return Row(domain, method, rest[0], "/".join(rest[1:])), field
    if rest[0] == "sanity" and len(rest) > 2:
        return Row(domain, method, f"sanity/{rest[-1]}", "/".join(rest[1:-1])), field
    return Row(domain, method, "/".join(rest)), field
