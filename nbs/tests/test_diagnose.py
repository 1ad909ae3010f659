"What is said of a training: hand-made curves and their near misses, missing files, and the planted runs."
import json
import shutil

import pytest
import yaml

from replytune.diagnose import (
    acted_on, curves_chart, diagnose, findings_text, later_runs, open_rows, planted_runs, v2_params, verdict,
)
from replytune.files import resolve
from replytune.line import main
from replytune.params import read_params, read_yaml
from replytune.run import SAMPLE_RUN, Run, sample_rows
from replytune.schema import StageError, Unavailable
from replytune.train import training_plan

PAGES = "06c"
EXPECTED = {"too hot": "too hot", "one reply": "sameness", "too long": "over-fitting", "too short": "too short"}


def run_of(folder, dev, train, noise=0.1, about=(-0.1, 0.1), panels=None, rates=None) -> Run:
    "A run with these losses every two steps, and an interval of that half width"
    rows = [{"step": 2 * place, "dev": loss} for place, loss in enumerate(dev)]
    rows += [{"step": 2 * place, "train_eval": loss} for place, loss in enumerate(train)]
    rows += [{"step": 2 * place, "learning_rate": rate} for place, rate in enumerate(rates or [1.0] * len(dev)) if place]
    (folder / "training_log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ends = lambda low, high: {"value": (low + high) / 2, "low": low, "high": high, "tweets": 13}
    losses = {"gained": ends(0.5 - noise, 0.5 + noise), "gained about the tweet": ends(*about)}
    (folder / "learned.json").write_text(json.dumps({"losses": losses}))
    for step, replies in (panels or {}).items():
        with open(folder / "panel.jsonl", "a") as file:
            for place, reply in enumerate(replies):
                row = {"step": step, "tweet_id": str(place), "reply": reply, "tokens": 5}
                file.write(json.dumps(row | {"finished": not reply.endswith("…")}) + "\n")
    return Run(folder)


found = lambda run: {one.name for one in diagnose(run) if one.found is True}
VARIED = [f"{word} {word}s often {word}ing there {word}ly" for word in "abcdefghijklm"]


@pytest.mark.parametrize("name, dev, train, miss", [
    ("over-fitting", [5, 4, 4.3], [5, 4, 3], [5, 4, 4.05]),
    ("over-fitting", [5, 4, 4.3], [5, 4, 3], [5, 4.4, 4.3]),
    ("too hot", [5, 6, 7], [5, 6, 7], [5, 4.9, 5.05]),
    ("too short", [5, 4.7, 4.4], [5, 4.7, 4.4], [5, 4.2, 4.1]),
    ("under-fitting", [5, 5, 4.95], [5, 5, 4.95], [5, 4.9, 4.85]),
    ("plateau", [5, 4, 3.99], [5, 4, 3.99], [5, 4.5, 4]),
])
def test_a_curve_and_its_near_miss(tmp_path, name, dev, train, miss):
    assert name in found(run_of(tmp_path, dev, train))
    assert name not in found(run_of(tmp_path, miss, train))


def test_a_difference_inside_the_noise_is_no_finding(tmp_path):
    assert "over-fitting" in found(run_of(tmp_path, [5, 4, 4.3], [5, 4, 3], noise=0.2))
    assert "over-fitting" not in found(run_of(tmp_path, [5, 4, 4.3], [5, 4, 3], noise=0.4))


def test_a_curve_that_is_flat_because_the_learning_rate_is_gone_is_still_falling(tmp_path):
    falls = [5, 4.7, 4.55, 4.52]
    assert not {"too short", "plateau"} & found(run_of(tmp_path, falls, falls))
    gone = run_of(tmp_path, falls, falls, rates=[None, 1.0, 0.2, 0.0])
    assert "too short" in found(gone) and "plateau" not in found(gone)
    rows = [row for row in (tmp_path / "training_log.jsonl").read_text().splitlines() if "learning_rate" not in row]
    (tmp_path / "training_log.jsonl").write_text("\n".join(rows) + "\n")
    told = {one.name: one.found for one in diagnose(gone)}
    assert isinstance(told["too short"], Unavailable) and isinstance(told["plateau"], Unavailable) and told["over-fitting"] is False


def test_sameness_drift_and_forgetting(tmp_path):
    same = run_of(tmp_path, [5, 4], [5, 4], about=(-0.4, -0.1), panels={0: VARIED, 2: ["one and the same…"] * 13})
    assert {"sameness", "drift", "forgetting"} <= found(same)
    assert [one.name for one in acted_on(diagnose(same))] == ["sameness"]
    shutil.rmtree(tmp_path), tmp_path.mkdir()
    kept = run_of(tmp_path, [5, 4], [5, 4], about=(-0.4, 0.01), panels={0: VARIED, 2: VARIED[::-1]})
    assert not {"sameness", "drift", "forgetting"} & found(kept)


def test_few_replies_are_no_interval(tmp_path):
    few = run_of(tmp_path, [5, 4], [5, 4], panels={0: VARIED[:3], 2: ["one and the same"] * 3})
    told = {one.name: one.found for one in diagnose(few)}
    assert isinstance(told["sameness"], Unavailable) and "needs 10" in told["sameness"].reason


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(StageError, match="no training_log.jsonl"): diagnose(tmp_path)
    one = run_of(tmp_path, [5], [5])
    assert isinstance({row.name: row.found for row in diagnose(one)}["too short"], Unavailable)
    run = run_of(tmp_path, [5, 4, 4.5], [5, 4, 3])
    (tmp_path / "learned.json").unlink()
    assert all(isinstance(row.found, Unavailable) for row in diagnose(run))
    assert verdict(diagnose(run)).startswith("nothing found; not judged")


def test_a_loss_that_is_no_number(tmp_path):
    run = run_of(tmp_path, [5, float("nan")], [5, 9])
    (tmp_path / "learned.json").unlink()
    assert verdict(diagnose(run)) == "too hot" and "no number at step 2" in findings_text(diagnose(run))


def test_test_rows_have_no_say(tmp_path):
    run = run_of(tmp_path, [5, 4], [5, 4])
    rows = sample_rows("reviewed.jsonl")
    write = lambda rows: (tmp_path / "reviewed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write(rows)
    before = findings_text(diagnose(run)), open_rows(run)
    write([row if row["split"] != "test" else {"split": "test", "tweet": 7} for row in rows])
    assert (findings_text(diagnose(run)), open_rows(run)) == before
    test = next(row for row in rows if row["split"] == "test")
    panel = {"step": 0, "tweet_id": test["tweet_id"], "reply": "x", "tokens": 1, "finished": True}
    (tmp_path / "panel.jsonl").write_text(json.dumps(panel) + "\n")
    with pytest.raises(StageError, match="not of the dev split"): diagnose(run)


def test_hostile_replies_are_shown_nowhere(tmp_path):
    bad = ["<script>alert(1)</script> & $(rm)"] * 13
    run = run_of(tmp_path, [5, 4], [5, 4], panels={0: VARIED, 2: bad})
    shown = findings_text(diagnose(run)) + curves_chart({"<b>x": run}).svg
    assert "script>alert" not in shown and "<b>" not in shown


def test_the_next_run_is_a_file_that_stage_06_takes(tmp_path):
    run = run_of(tmp_path, [5, 4, 4.6], [5, 4, 3])
    counts = {"read": {}, "wrote": {}, "counts": {"train pairs": 66}}
    (tmp_path / "manifest.json").write_text(json.dumps({"06_train": counts}))
    target = tmp_path / "v2.yaml"
    target.write_text(v2_params(run, "nbs/params/sample.yaml"))
    params, before = read_params(target), read_params(resolve("nbs/params/sample.yaml"))
    train = params["06_train"]
    assert (train.rank, train.dropout, train.epochs, train.max_steps) == (8, 0.15, 1, 9)
    assert training_plan(66, train)["warnings"] == [] and train.seed == before["06_train"].seed
    assert params["03b_split"].splits_from == str(tmp_path / "clean.jsonl")
    assert "# 16 before: over-fitting" in target.read_text()


def test_the_command(tmp_path, capsys):
    file = tmp_path / "v2.yaml"
    assert main(["diagnose", SAMPLE_RUN, "--write", str(file)]) == 0
    assert "diagnosis: nothing found" in capsys.readouterr().out and read_params(file)
    assert main(["diagnose", str(tmp_path)]) == 1


@pytest.mark.parametrize("name", EXPECTED)
def test_a_planted_run_is_recognised(name):
    assert [one.name for one in acted_on(diagnose(planted_runs()[name]))] == [EXPECTED[name]]


@pytest.mark.parametrize("name", EXPECTED)
def test_the_advice_was_followed_to_its_end(name):
    "Each version ran with the file that the diagnosis of the one before it writes; what was too hot or too long is so no more"
    chain = later_runs(name)
    for before, after in zip(chain, chain[1:]):
        written = yaml.safe_load(v2_params(before, str(before / "params.yaml")))
        assert written["06_train"] == read_yaml(after / "params.yaml")["06_train"] != read_yaml(before / "params.yaml")["06_train"]
    ill = lambda run: {one.name for one in acted_on(diagnose(run)) if one.changes}
    if name != "too short": assert not ill(chain[0]) & ill(chain[-1])  # half as many steps again are still few
    assert len(chain) > 1 or name == "one reply"


def test_the_good_run_is_called_nothing():
    assert not [one.name for one in acted_on(diagnose(SAMPLE_RUN)) if one.changes]
