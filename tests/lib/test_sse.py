"""Frames of server-sent events."""

from __future__ import annotations

import json

from promptlab.lib import sse


def test_no_text_can_break_out_of_its_frame() -> None:
    hostile = 'x\n\ndata: {"done": true}\r\n\revent: error\u2028\x85'
    frame = sse.encode({"token": hostile}).decode()
    assert frame.startswith("data: ")
    assert frame.endswith("\n\n")
    assert "\n" not in frame[:-2]
    assert "\r" not in frame
    assert json.loads(frame.removeprefix("data: ")) == {"token": hostile}


def test_an_event_may_have_a_name() -> None:
    assert sse.encode({"a": 1}, event="revision") == b'event: revision\ndata: {"a":1}\n\n'
