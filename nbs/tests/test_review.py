"""Decisions: appended, never lost, replayed to the same state, and refused when they tell two histories."""
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from replytune.review import Decision, Panel, ReviewLog, apply_reviews, bring_in, card, review_panel, standing
from replytune.schema import Pair, StageError, sample_rows

PAIRS = [Pair.model_validate(row) for row in sample_rows("clean.jsonl")]
actions = st.lists(st.tuples(st.sampled_from(["1", "2", "3"]), st.sampled_from(["keep", "reject", "undo"])), max_size=30)


@settings(max_examples=100, deadline=None)
@given(actions)
def test_the_state_is_the_log_read_again(steps):
    rows = [Decision(reply_id=reply, reviewer="ada", decision=decision) for reply, decision in steps]
    expected: dict[str, list[str]] = {}
    for reply, decision in steps:
        past = expected.setdefault(reply, [])
        if decision != "undo": past.append(decision)
        elif past: past.pop()
    assert {reply: votes["ada"].decision for reply, votes in standing(rows).items()} == {reply: past[-1] for reply, past in expected.items() if past}


@pytest.mark.parametrize("cut", range(1, 40, 7))
def test_a_line_cut_by_a_crash_costs_only_itself(tmp_path, cut):
    log = ReviewLog(tmp_path / "ada.jsonl", "ada")
    for reply in "123": log.add(reply, "keep")
    whole = log.path.read_bytes()
    log.path.write_bytes(whole[:-cut])
    assert [row.reply_id for row in log.read()] == ["1", "2"]
    log.add("4", "reject")
    assert [row.reply_id for row in ReviewLog(log.path, "ada").read()] == ["1", "2", "4"]


def test_logs_may_grow_and_must_not_differ(tmp_path):
    source, target = tmp_path / "source.jsonl", tmp_path / "run/ada.jsonl"
    source.write_text("a\nb\n")
    bring_in(source, target)
    target.write_text("a\nb\nc\n")
    bring_in(source, target)
    assert target.read_text() == "a\nb\nc\n"
    source.write_text("a\nX\n")
    with pytest.raises(StageError, match="different histories"): bring_in(source, target)
    assert target.read_text() == "a\nb\nc\n"


def test_edits_keep_the_original_and_are_checked():
    edit = Decision(reply_id=PAIRS[0].reply_id, reviewer="ada", decision="edit", text="Measured twice, cut once.")
    kept, _, undecided = apply_reviews(PAIRS[:1], [edit])
    assert kept[0].reply == "Measured twice, cut once." and kept[0].reply_as_collected and not undecided
    for text in ("", "   ", None, "x" * 281):
        with pytest.raises(StageError, match="allowed are 1 to 280"): apply_reviews(PAIRS[:1], [edit.model_copy(update={"text": text})])


def test_the_panel_resumes_where_it_stopped(tmp_path):
    panel = Panel(PAIRS[:5], ReviewLog(tmp_path / "ada.jsonl", "ada"))
    for name in ("keep", "keep", "undo", "reject"): panel.buttons[name].click()
    again = Panel(PAIRS[:5], ReviewLog(tmp_path / "ada.jsonl", "ada"))
    assert again.status.value == panel.status.value == "2 of 5 decided" and again.view.value == card(PAIRS[2])
    for _ in range(9): again.buttons["keep"].click()
    assert "All decided" in again.view.value and len(again.log.read()) == 4 + 3


def test_bad_calls_name_the_fix(tmp_path):
    with pytest.raises(StageError, match="names a file"): review_panel("runs/none", "../../etc")
    with pytest.raises(StageError, match="run stage 03_clean first"): review_panel(str(tmp_path), "ada")
