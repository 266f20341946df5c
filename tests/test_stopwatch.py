import time

import pytest

from lookwhy.stopwatch import part, part_each, recording


def test_parts_of_parts_are_named_after_those_around_them_and_add_up():
    seconds = {}
    with recording(seconds):
        for _ in range(2):
            with part("outer"):
                time.sleep(0.01)
                with part("inner"):
                    time.sleep(0.02)
        with pytest.raises(ValueError, match="no"), part("failing"):
            raise ValueError("no")
        with part("after"):
            pass
    assert list(seconds) == ["outer: inner", "outer", "failing", "after"]
    assert seconds["outer: inner"] >= 0.04
    assert seconds["outer"] >= seconds["outer: inner"] + 0.02


def test_making_items_is_measured_and_using_them_is_not():
    seconds = {}
    with recording(seconds):
        for item in part_each("making", map(lambda i: time.sleep(0.01) or i, range(3))):
            time.sleep(0.03)
            assert item in (0, 1, 2)
    assert 0.03 <= seconds["making"] < 0.09


def test_recordings_within_recordings_keep_their_own():
    outer, inner = {}, {}
    with recording(outer), part("a"), recording(inner), part("b"):
        pass
    assert (list(outer), list(inner)) == (["a"], ["b"])
    with part("nobody records"):
        pass
