"""A run of a test suite as JUnit XML, which every pipeline shows."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from prompts.models import SuiteResult, SuiteRun

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
State = SuiteResult.State


def report(run: SuiteRun) -> str:
    """Return one testcase for every answer; what failed, and what could not be had or decided, says why."""
    rows = list(SuiteResult.objects.filter(run=run).order_by("place", "model", "repeat"))
    failed = sum(row.state == State.FAILED for row in rows)
    errors = sum(row.state not in (State.FAILED, State.PASSED) for row in rows)
    counts = {"tests": str(len(rows)), "failures": str(failed), "errors": str(errors)}
    root = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(root, "testsuite", {"name": _plain(str(run)), **counts})
    for row in rows:
        _case(suite, row)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(suite: ElementTree.Element, row: SuiteResult) -> None:
    again = f" ({row.repeat})" if row.repeat > 1 else ""
    facts = {"classname": _plain(row.model), "name": _plain(row.case_name + again)}
    facts["time"] = f"{(row.latency_ms or 0) / 1000:.3f}"
    case = ElementTree.SubElement(suite, "testcase", facts)
    if row.state == State.FAILED:
        said = [f"{one['check']}: {one['detail']}" for one in row.outcomes if one["passed"] is False]
        ElementTree.SubElement(case, "failure", {"message": _plain("; ".join(said))}).text = _plain(row.text)
    elif row.state != State.PASSED:
        told = row.problem or row.get_state_display()
        ElementTree.SubElement(case, "error", {"message": _plain(told)}).text = _plain(row.text)


def _plain(text: str) -> str:
    """Return the text without the characters that XML cannot hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
