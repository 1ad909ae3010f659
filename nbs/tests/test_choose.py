"""The choice among versions: who wins, what the best is worth, what is refused."""
import json

import numpy
import pytest

from replytune.bias import planted
from replytune.checks import sound_example
from replytune.choose import choose, compare_runs, worth_of_the_best
from replytune.files import sha256, to_lines, write_text
from replytune.line import main
from replytune.schema import StageError, replies_file
from replytune.stats import JUDGED, StatsParams

PAGES = "08d"


def drawn(truth: float, tweets: int, seed: int) -> dict[str, float]:
    return {str(n): float(won) for n, won in enumerate(numpy.random.default_rng(seed).random(tweets) < truth)}


@pytest.mark.parametrize("truths", [(0.5, 0.5), (0.55, 0.55, 0.55), (0.5, 0.7), (0.4, 0.45, 0.5, 0.55)])
def test_the_corrected_number_is_not_that_of_the_curse(truths):
    chance, seen, true, corrected = numpy.random.default_rng(3), [], [], []
    for seed in range(200):
        scores = (chance.random((len(truths), 80)) < numpy.array(truths)[:, None]).astype(float)
        best = int(scores.mean(axis=1).argmax())
        seen.append(scores[best].mean()), true.append(truths[best]), corrected.append(worth_of_the_best(scores, 40, seed))
    error = numpy.std(corrected) / 14
    assert numpy.mean(corrected) <= numpy.mean(true) + 3 * error and numpy.mean(true) - numpy.mean(corrected) < 0.03
    if len(set(truths)) == 1: assert numpy.mean(seen) > numpy.mean(true) + 0.02


def test_versions_that_are_no_better_rarely_win():
    words = [choose({name: drawn(0.5, 60, 10 * seed + place) for place, name in enumerate(("v1", "v2", "v3"))}).winner for seed in range(100)]
    assert words.count("base") >= 91  # five in a hundred, all three versions together


def test_a_better_version_is_found_and_named():
    found = choose({"v1": drawn(0.5, 200, 1), "v2": drawn(0.75, 200, 2), "v3": drawn(0.5, 200, 3)})
    assert found.winner == "v2" and found["winner"] == "v2" and [row["version"] for row in found.versions] == ["v1", "v2", "v3"]


def test_two_good_versions_are_not_told_apart_by_a_hair():
    found = choose({"v1": drawn(0.7, 120, 1), "v2": drawn(0.7, 120, 2)})
    assert found.winner is None and "not told apart" in found.why and found.pairs[0]["low"] < 0 < found.pairs[0]["high"]


def test_a_version_is_compared_on_the_tweets_that_all_have():
    one, other = drawn(0.9, 60, 1), drawn(0.5, 60, 2)
    found = choose({"v1": one, "v2": {id: other[id] for id in list(other)[:40]}})
    assert found.tweets == 40


@pytest.mark.parametrize("scores, why", [({"v1": {"1": 1.0}}, "1 version"), ({"v1": {"1": 1.0}, "v2": {"1": 0.0}}, r"share 1 tweets \(v1 1, v2 1\); 20 are needed")])
def test_too_little_to_choose_from_is_named(scores, why):
    with pytest.raises(StageError, match=why): choose(scores)


def judged(folder, split: str, truth: float, judge: str = "planted", driven: float = 0.0):
    "A run folder as stages 05 and 07 leave it, sound but for what is asked for"
    sound = sound_example(80)
    size = lambda asked: {at: asked[at] for at in ("first_length", "second_length")}
    rows = [row | {"judge": judge} | size(asked) for row, asked in zip(planted(80, truth=truth, ties=0.2, driven=driven, seed=int(100 * truth)), sound.judgements)]
    rows += [row | {"judge": judge} for row in sound.judgements if row["contrast"] == "null-base"]
    files = {"judgements.jsonl": rows} | dict(zip(JUDGED[1:], sound.measured._replace(accuracy=[sound.measured.accuracy[0] | {"judge": judge}, sound.measured.accuracy[1]]))) | {replies_file(arm): found for arm, found in sound.replies.items()}
    for name, found in files.items(): write_text(folder / name, to_lines(found))
    write_text(folder / "registered.json", json.dumps(sound.registered))
    empty = {"read": {}, "parameters": {}}
    made = {"05_generate": [name for name in files if name.startswith("generations")], "07_judge": [name for name in files if not name.startswith("generations")]}
    sections = {stage: empty | {"wrote": {name: sha256(folder / name) for name in names}} for stage, names in made.items()}
    sections["05_generate"]["parameters"] = {"split": split}
    write_text(folder / "manifest.json", json.dumps(sections))
    return folder


def test_runs_are_compared_on_dev_and_by_one_judge(tmp_path, capsys):
    v1, v2, test, other = judged(tmp_path / "a", "dev", 0.5), judged(tmp_path / "b", "dev", 0.8), judged(tmp_path / "c", "test", 0.5), judged(tmp_path / "d", "dev", 0.6, "another")
    assert compare_runs({"v1": v1, "v2": v2}, StatsParams()).winner == "v2"
    assert main(["compare", str(v1), str(v2)]) == 0 and capsys.readouterr().out.startswith(f"choice: {v2.name}, on ")
    assert main(["compare", str(v1), str(v1)]) == 1 and "a name of its own" in capsys.readouterr().err
    with pytest.raises(StageError, match="v2 \\(c\\) was judged on test"): compare_runs({"v1": v1, "v2": test})
    with pytest.raises(StageError, match="different judges"): compare_runs({"v1": v1, "v2": other})


def test_a_run_that_measures_nothing_chooses_nothing(tmp_path):
    v1, v2 = judged(tmp_path / "a", "dev", 0.5), judged(tmp_path / "b", "dev", 0.8, driven=1.0)
    with pytest.raises(StageError, match="v2 .b. is no sound measurement and chooses nothing: position does not decide"): compare_runs({"v1": v1, "v2": v2})
    with pytest.raises(StageError, match="base is what versions are compared with"): choose({"base": {}, "v1": {}})
    (v1 / "judgements.jsonl").unlink()
    with pytest.raises(StageError, match="judgements.jsonl is missing"): compare_runs({"v1": v1, "v2": v2})
