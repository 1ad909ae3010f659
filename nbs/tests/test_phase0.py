"""Phase 0: files with mistakes, blind cards, logs that are damaged, copied or cut off by a kill, and the statistics against scipy's."""
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import yaml
from hypothesis import given, strategies
from scipy import stats as scipy_stats

from replytune.files import project_root, read_rows, resolve, sha256, to_lines, write_text
from replytune.line import main
from replytune.models import load_tokenizer
from replytune.panel import KEYS, keyboard
from replytune.phase0 import (
    ANSWERS, BANDS, CHEAP, INVENTED, SAMPLE_TEXTS, SKIPS, STAGE, Answer, Mean, Phase0Params, Score, ScoreLog,
    answers_of, arm_scores, as_pairs, bands_of, blind_items, decide, decision_chart, gains_of, in_words, item_key, levels_of, open_phase0, phase0_decision, phase0_line,
    phase0_params, phase0_stage, read_texts, set_name, t_interval, why_not, word_of,
)
from replytune.run import Run, open_stage
from replytune.scoring import ScorePanel, ScoreSession, score_panel, shown_item
from replytune.schema import ParameterError, StageError, Unavailable
from replytune.text import copy_key

PAGES = "05c 05d"

TEXTS = yaml.safe_load(resolve(SAMPLE_TEXTS).read_text(encoding="utf-8"))
ARMS = ("base", "base_thinking", "rag")


def answers(tweets: int = 20, arms=ARMS, same=(), missing=()) -> list[Answer]:
    "Invented replies; those of the tweets in `same` do not differ between arms, those of (arm, tweet) in `missing` are none"
    rows = []
    for arm in arms:
        for number in range(1, tweets + 1):
            gone = (arm, number) in missing
            reply = None if gone else f"To {number}." if number in same else f"To {number}, as {sha256(arm)[:4]} would."
            rows.append(Answer(tweet_id=str(number), tweet=f"Tweet {number}", arm=arm, reply=reply, reason="empty" if gone else None))
    return rows


def scored(rows: list[Answer], score, rater: str = "ada", run: str = "r") -> list[Score]:
    "A score of every reply, by a function of its row"
    return list({item_key(row): Score(item=item_key(row), rater=rater, run=run, score=score(row)) for row in rows if row.reply}.values())


def noisy(gain: dict[str, float], spread: float = 1.0, seed: str = ""):
    def score(row: Answer) -> int:
        luck = random.Random(f"{seed}{item_key(row)}").gauss(0, spread)
        return min(10, max(1, round(5 + luck + gain.get(row.arm, 0))))
    return score


@pytest.mark.parametrize("text, said", [
    ("- a\n- b\n", "value = ['a', 'b']"), ("tweets: [unclosed", "not YAML"), ("", "value = None"),
    (TEXTS | {"tweets": TEXTS["tweets"][:19]}, "19 tweets, at least 20 are needed; add 1"),
    (TEXTS | {"pairs": TEXTS["pairs"][:49]}, "49 pairs, at least 50 are needed; add 1"),
    (TEXTS | {"pairs": [*TEXTS["pairs"], {"tweet": "DNS again."}]}, "pairs.50.reply"),
    (TEXTS | {"pairs": [{"tweet": "DNS.", "answer": "Always."}, *TEXTS["pairs"]]}, "pairs.0.answer"),
    (TEXTS | {"tweets": ["   ", *TEXTS["tweets"]]}, "tweets.0"),
    (TEXTS | {"tweets": [404, *TEXTS["tweets"]]}, "tweets.0 = 404"),
    (TEXTS | {"tweet": ["DNS."]}, "tweet = ['DNS.']"),
    (TEXTS | {"tweets": [*TEXTS["tweets"], TEXTS["tweets"][3].upper() + " "]}, "stands there twice"),
    (TEXTS | {"tweets": [*TEXTS["tweets"], TEXTS["pairs"][7]["tweet"]]}, "stands there twice"),
])
def test_a_file_with_a_mistake_is_refused_by_name_value_and_fix(tmp_path, text, said):
    file = tmp_path / "mine.yaml"
    file.write_text(text if isinstance(text, str) else yaml.safe_dump(text))
    with pytest.raises(StageError) as error: read_texts(file)
    message = str(error.value)
    assert "mine.yaml" in message and said in message, message


def test_a_file_that_is_not_there_names_the_one_to_copy(tmp_path):
    with pytest.raises(StageError, match=re.escape(SAMPLE_TEXTS)): read_texts(tmp_path / "none.yaml")
    with pytest.raises(StageError, match="no file"): read_texts(tmp_path)


def test_the_samples_texts_are_written_for_it_alone():
    others = {copy_key(text) for file in resolve("nbs/sample/texts").glob("*.yaml") for row in yaml.safe_load(file.read_text(encoding="utf-8")) for text in (row["tweet"], *row["replies"]) if isinstance(text, str)}
    texts = read_texts(SAMPLE_TEXTS)
    ours = [*texts.tweets, *(pair.tweet for pair in texts.pairs), *(pair.reply for pair in texts.pairs)]
    assert len(others) > 500 and len({copy_key(text) for text in ours}) == len(ours) == 120 and not {copy_key(text) for text in ours} & others
    assert all(len(pair.reply) <= 280 for pair in texts.pairs)


def test_what_the_rag_arm_may_show_is_a_train_split_of_strangers():
    asked, good = as_pairs(read_texts(SAMPLE_TEXTS))
    assert len(asked) == 20 and len(good) == 50 and {pair.split for pair in good} == {"train"}
    names = [name for pair in asked + good for name in (pair.tweet_author, pair.reply_author)]
    assert len(set(names)) == len(names) == 140 and len({pair.tweet_id for pair in asked + good}) == 70


def test_a_cards_place_and_name_tell_nothing_of_the_arm():
    rows = answers(40)
    renamed = [row.model_copy(update={"arm": {"base": "rag", "rag": "base"}.get(row.arm, row.arm)}) for row in reversed(rows)]
    assert blind_items(rows, 3) == blind_items(renamed, 3) != blind_items(rows, 4)
    places = {arm: [] for arm in ARMS}
    arm_of = {item_key(row): row.arm for row in rows}
    for seed in range(100):
        for place, item in enumerate(blind_items(rows, seed)): places[arm_of[item.key]].append(place % 3)
    for arm in ARMS: assert scipy_stats.chisquare([places[arm].count(place) for place in range(3)]).pvalue > 0.001
    session = ScoreSession(blind_items(rows, 1), ScoreLog("unused", "ada", "r"))
    for place in range(len(session.items)):
        session.show(place)
        assert not [arm for arm in (*CHEAP, *ARMS) if arm in shown_item(session)]


def test_equal_replies_are_one_card_and_missing_ones_none(tmp_path):
    rows = answers(20, same={2, 5}, missing={("rag", 7), ("base", 9)})
    items = blind_items(rows, 1)
    assert len(items) == 60 - 4 - 2
    found = arm_scores(rows, scored(rows, lambda row: 4))
    assert found["base"]["2"] == found["rag"]["2"] == {"ada": 4} and "7" not in found["rag"] and "9" not in found["base"]
    gain = gains_of(arm_scores(rows, scored(rows, noisy({"rag": 2.0}))), 0.95)["rag"]
    assert gain.tweets == 18


@pytest.mark.parametrize("score", [0, 11, -3, 7.5, True, "7"])
def test_a_score_is_a_whole_number_from_1_to_10(tmp_path, score):
    log = ScoreLog(tmp_path, "ada", "r")
    with pytest.raises(StageError, match=re.escape(f"score = {score!r}")): log.add("i", score)
    assert not log.path.exists()


@pytest.mark.parametrize("more", [{}, {"score": 4, "reason": "other"}, {"reason": ""}])
def test_a_line_has_a_score_or_a_reason(tmp_path, more):
    with pytest.raises(StageError, match="either a score from 1 to 10, or a reason"): ScoreLog(tmp_path, "ada", "r").add("i", **more)


def test_a_log_that_is_wrong_is_refused_and_left_alone(tmp_path):
    log = ScoreLog(tmp_path, "ada", "r")
    for score in (3, 4, 5): log.add(f"i{score}", score)
    good = log.path.read_text()
    line = json.loads(good.splitlines()[1])
    for spoiled, said in ((json.dumps(line | {"score": 11}), "score = 11"), ("{", "is no score"), (json.dumps(line | {"run": "another"}), "a log of another run"), (json.dumps({"item": "i"}), "rater")):
        text = good.replace(good.splitlines()[1], spoiled)
        log.path.write_text(text)
        with pytest.raises(StageError) as error: ScoreLog(tmp_path, "ada", "r")
        assert said in str(error.value) and "ada.jsonl:2" in str(error.value) and log.path.read_text() == text


@pytest.mark.parametrize("rater", ["../eve", "", "a b", "7up", "a.b"])
def test_a_rater_is_a_name_and_no_path(tmp_path, rater):
    with pytest.raises(StageError, match=re.escape(repr(rater))): ScoreLog(tmp_path, rater, "r")


KILLED = """
import sys
from replytune.phase0 import Answer, ScoreLog, blind_items, set_name
from replytune.scoring import ScoreSession
rows = [Answer(tweet_id=str(n), tweet=f"Tweet {n}", arm="base", reply=f"To {n}") for n in range(1, 400)]
items = blind_items(rows, 1)
session = ScoreSession(items, ScoreLog(sys.argv[1], "ada", set_name(items)))
while session.item:
    session.answer(1 + session.place % 10)
    print(session.place, flush=True)
"""


def test_a_kill_loses_no_score(tmp_path):
    started = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    told = [int(started.stdout.readline()) for _ in range(25)]
    os.kill(started.pid, signal.SIGKILL)
    started.wait(20)
    rows = [Answer(tweet_id=str(n), tweet=f"Tweet {n}", arm="base", reply=f"To {n}") for n in range(1, 400)]
    items = blind_items(rows, 1)
    with open(tmp_path / "ada.jsonl", "ab") as file: file.write(b'{"item":"' + items[-1].key.encode())  # and of one more, half a line
    again = ScoreSession(items, ScoreLog(tmp_path, "ada", set_name(items)))
    lines = again.log.read()
    assert told == list(range(1, 26)) and len(lines) >= 25 and again.place == len(lines)
    assert [row.score for row in lines] == [1 + place % 10 for place in range(len(lines))]
    again.answer(9)
    assert len(again.log.read()) == len(lines) + 1


def test_what_cannot_be_saved_is_said_and_not_shown_as_scored(tmp_path):
    items = blind_items(answers(), 1)
    panel = ScorePanel(ScoreSession(items, ScoreLog(tmp_path, "ada", "r")))
    panel.session.log.path = Path("/dev/full")
    panel.session.log.read = lambda: []
    panel.do("7")
    assert "NOT SAVED" in panel.notice.value and panel.session.place == 0 and "0 of 60" in panel.bar.value


def test_keys_go_back_and_forth_and_skip_with_a_reason(tmp_path):
    items = blind_items(answers(), 1)
    panel = ScorePanel(ScoreSession(items, ScoreLog(tmp_path, "ada", "r")))
    for key in ("7", "0", "S", "3", "ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowLeft"): panel.do(key)
    assert panel.session.place == 0 and "Yours: 7" in panel.view.value
    panel.do("S"), panel.do("ArrowRight")  # takes the question back, and no more
    assert panel.session.place == 0 and not panel.asking
    panel.do("S"), panel.do("9")  # no such reason
    assert panel.session.place == 0 and len(panel.session.log.read()) == 3
    panel.do("2")
    assert panel.session.place == 3 and [row.score for row in panel.session.log.read()] == [7, 10, None, 2]
    assert panel.session.log.latest()[items[2].key].reason == SKIPS[2]
    panel.do("x"), panel.do("")
    assert len(panel.session.log.read()) == 4
    for _ in items[3:]: panel.do("5")
    assert panel.session.item is None and "Every reply has a score" in panel.view.value
    panel.do("5"), panel.do("S")
    assert len(panel.session.log.read()) == 61 and not panel.asking
    panel.do("ArrowLeft")
    assert panel.session.place == 59 and "Yours: 5" in panel.view.value


def test_a_key_of_an_earlier_card_does_nothing(tmp_path):
    panel = ScorePanel(ScoreSession(blind_items(answers(), 1), ScoreLog(tmp_path, "ada", "r")))
    old = str(panel.session.token)
    panel.on_key(None, {"key": "7", "shown": old}, [])
    panel.on_key(None, {"key": "7", "shown": old}, [])
    assert len(panel.session.log.read()) == 1 and "before this card" in panel.notice.value
    assert set(panel.keys.heard) == {*"1234567890S", "ArrowLeft", "ArrowRight"}
    assert keyboard()().heard == [key for key, _ in KEYS.values()], "the review panel hears its own keys"


def test_the_interval_is_scipys():
    draws = numpy.random.default_rng(2)
    for count in (2, 5, 20, 57):
        values = draws.normal(1, 2, count).tolist()
        found, known = t_interval(values, 0.9), scipy_stats.ttest_1samp(values, 0).confidence_interval(0.9)
        assert (found.low, found.high, found.tweets) == (pytest.approx(known.low), pytest.approx(known.high), count)
    assert [str(t_interval(values, 0.95)) for values in ([], [4.0], [3.0] * 20)] == ["unavailable (nobody scored it)", "unavailable (one tweet only; an interval needs two)", "unavailable (all 20 tweets say 3: no scatter, no interval)"]


def test_gains_are_paired_by_tweet_and_hold_together():
    rows = answers(30)
    scores = arm_scores(rows, scored(rows, noisy({"rag": 1.0})))
    found = gains_of(scores, 0.95)
    one, other = ([scores[arm][str(n)]["ada"] for n in range(1, 31)] for arm in ("rag", "base"))
    known = scipy_stats.ttest_rel(one, other).confidence_interval(0.975)  # two comparisons
    assert (found["rag"].low, found["rag"].high) == (pytest.approx(known.low), pytest.approx(known.high))
    draws, held = numpy.random.default_rng(3), 0
    for mood, *luck in draws.normal(size=(800, 4, 20)):
        arms = [mood + each + 0.5 * place for place, each in enumerate(luck)]
        gains = gains_of({arm: {n: {"ada": score} for n, score in enumerate(each.tolist())} for arm, each in zip(ARMS, arms)}, 0.95)
        held += all(gain.low <= truth <= gain.high for gain, truth in zip(gains.values(), (0.5, 1.0)))
    assert scipy_stats.binomtest(held, 800).proportion_ci(0.999).high >= 0.95


def test_of_two_raters_the_mean_and_of_one_rater_the_latest_line():
    rows = answers(20)
    twice = [*scored(rows, lambda row: 2), *scored(rows, lambda row: 4), *scored(rows, lambda row: 8, "bob")]
    found = arm_scores(rows, twice)
    assert set(levels_of(found["base"])) == {6} and found["base"]["1"] == {"ada": 4, "bob": 8}
    skipped = Score(item=item_key(rows[0]), rater="ada", run="r", reason="other")
    assert arm_scores(rows, [*twice, skipped])["base"]["1"] == {"bob": 8}


def test_who_skips_one_of_two_replies_shifts_no_difference():
    "A strict and a mild rater agree on every difference; what one of them skips must not pass for one"
    rows = answers(20)
    strict = scored(rows, lambda row: 2 + int(row.tweet_id) % 2 * (row.arm == "rag"))
    mild = [row.model_copy(update={"rater": "bob", "score": row.score + 5}) for row in strict]
    before = gains_of(arm_scores(rows, [*strict, *mild]), 0.95)
    rag = {item_key(row) for row in rows if row.arm == "rag" and int(row.tweet_id) < 9}
    skips = [row.model_copy(update={"score": None, "reason": "other"}) if row.item in rag else row for row in mild]
    assert gains_of(arm_scores(rows, [*strict, *skips]), 0.95) == before


def test_a_tweet_that_no_rater_scored_in_both_arms_is_left_out():
    rows = answers(20)
    one, other = (scored([row for row in rows if row.arm == arm], lambda row: int(row.tweet_id) % 7 + 1, who) for arm, who in (("base", "ada"), ("rag", "bob")))
    assert gains_of(arm_scores(rows, [*one, *other]), 0.95)["rag"] == Unavailable("nobody scored it")


means = strategies.builds(lambda mean, half, tweets: Mean(mean, mean - half, mean + half, tweets), strategies.floats(-4, 4), strategies.floats(0.05, 3), strategies.integers(15, 40))


@given(means, means, strategies.floats(0, 3), strategies.floats(0.2, 3))
def test_more_gain_never_speaks_for_tuning(one, other, more, better_by):
    rank = ("GO", "INCONCLUSIVE", "NO-GO")
    word = lambda gain: rank.index(word_of({"rag": gain, "base_thinking": other}, better_by)[0])
    assert word(one) <= word(Mean(one.mean + more, one.low + more, one.high + more, one.tweets))


def test_the_word_needs_enough_tweets_and_every_arm():
    wins, nothing = Mean(2.0, 1.2, 2.8, 20), Mean(0.0, -0.7, 0.7, 20)
    lost = Unavailable("nobody scored it")
    assert word_of({"rag": wins, "base_thinking": lost}, 1.0)[0] == "NO-GO"
    assert word_of({"rag": nothing, "base_thinking": lost}, 1.0)[0] == "INCONCLUSIVE"
    assert word_of({"rag": nothing._replace(tweets=14)}, 1.0)[0] == word_of({"rag": wins._replace(tweets=14)}, 1.0)[0] == "INCONCLUSIVE"
    assert word_of({"rag": nothing}, 1.0)[0] == "GO"
    assert word_of({"rag": Mean(1.5, -0.1, 3.1, 20)}, 1.0)[0] == "INCONCLUSIVE", "large, and perhaps nothing"
    assert word_of({"rag": Mean(0.5, 0.1, 0.9, 20)}, 1.0)[0] == "GO", "real, and too small to matter"
    assert "more than 500" in word_of({"rag": Mean(0.999, -0.2, 2.2, 20)}, 1.0)[1]


def test_the_number_of_tweets_that_would_tell_does_tell():
    gain = Mean(0.4, -0.5, 1.3, 20)
    wanted = int(re.search(r"about (\d+) tweets", word_of({"rag": gain}, 1.0)[1])[1])
    half = lambda count: 0.9 * (20 / count) ** 0.5
    at = lambda count: word_of({"rag": Mean(0.4, 0.4 - half(count), 0.4 + half(count), count)}, 1.0)[0]
    assert at(wanted) == "GO" and at(wanted - 2) == "INCONCLUSIVE"


def test_there_is_no_word_before_everybody_is_done():
    rows, params = answers(20), Phase0Params()
    whole = scored(rows, noisy({"rag": 3.0}))
    assert decide(rows, [], params).word == Unavailable("nobody has scored yet")
    assert "ada 59 of 60" in decide(rows, whole[:-1], params).word.reason
    assert "bob 1 of 60" in decide(rows, [*whole, *scored(rows, lambda row: 5, "bob")[:1]], params).word.reason
    found = decide(rows, whole, params)
    assert found.word == "NO-GO" and not found.label and "rag adds +" in found.why
    skipped = [row if place else row.model_copy(update={"score": None, "reason": "other"}) for place, row in enumerate(whole)]
    assert decide(rows, skipped, params).word == "NO-GO"
    only = answers(20, arms=("base",))
    assert "none of the cheap arms" in decide(only, scored(only, lambda row: 5), params, {"base_thinking": "no"}).word.reason


def test_invented_scores_say_so_wherever_they_stand():
    rows, params = answers(20), Phase0Params()
    mixed = [*scored(rows, noisy({})), *scored(rows, noisy({}, seed="b"), INVENTED)]
    for scores in (scored(rows, noisy({}), INVENTED), mixed):
        found = decide(rows, scores, params, label="pipeline check: invented tweets")
        assert found.label == "invented scores: a pipeline check; pipeline check: invented tweets"
        assert in_words(found).startswith(found.label) and in_words(found._replace(word=Unavailable("why"))).startswith(found.label)
        assert decision_chart(found, 1.0).svg != decision_chart(found._replace(label=""), 1.0).svg


def test_a_milder_rater_moves_the_threshold_and_not_the_word():
    rows, params = answers(20), Phase0Params()
    said = [decide(rows, scored(rows, lambda row, shift=shift: noisy({"rag": 2.0}, 0.6)(row) + shift), params) for shift in (-2, 0, 1)]
    assert len({found.word for found in said}) == 1 and len({found.gains["rag"] for found in said}) == 1
    assert len({bands_of(found.means["base"])[0] for found in said}) >= 2


def test_the_bands_cover_every_mean_once_and_name_the_gap():
    at = lambda mean: bands_of(Mean(mean, mean, mean, 20))
    assert [at(mean) for mean in (1, 3.99, 4, 6, 6.01, 6.99, 7, 10)] == [[name] for name in ("below 4", "below 4", "4 to 6", "4 to 6", "6 to 7", "6 to 7", "7 and more", "7 and more")]
    edges = [edge[:2] for edge in BANDS.values()]
    assert all(one[1] == other[0] for one, other in zip(edges, edges[1:])) and "gap" in BANDS["6 to 7"][2]
    assert bands_of(Unavailable("why")) == []


def toy(folder, **more) -> Phase0Params:
    return Phase0Params(**{"run": str(folder), "max_new_tokens": 6, "arm_settings": {"base_thinking": {"max_new_tokens": 6}}} | more)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    "Phase 0 of the sample's texts by the toy model"
    folder = tmp_path_factory.mktemp("phase0") / "run"
    phase0_stage(toy(folder))
    return folder


def test_the_arms_differ_as_the_recipes_say(made):
    rows = {arm: [row for row in read_rows(made / ANSWERS) if row["arm"] == arm] for arm in ARMS}
    assert [len(each) for each in rows.values()] == [20] * 3
    for base, thinking, rag in zip(*rows.values()):
        assert len({base["prompt"], thinking["prompt"], rag["prompt"]}) == 3 and base["tweet"] == rag["tweet"]
        assert len(rag["neighbours"]) == 3 and not base["neighbours"] and all(int(id) > 20 for id in rag["neighbours"])
    assert why_not("rag", load_tokenizer("tiny-qwen3")) is None is why_not("prompted", load_tokenizer("tiny-qwen3"))


def test_a_model_that_cannot_think_lacks_that_arm_and_says_so(tmp_path):
    rows, cannot = answers_of(toy(tmp_path, arms=["base", "base_thinking", "prompted"]), tmp_path)
    assert {row.arm for row in rows} == {"base", "base_thinking", "prompted"} and not cannot
    assert "no thinking" in why_not("base_thinking", load_tokenizer("smollm2"))
    with open_stage(STAGE, toy(tmp_path, model="smollm2")) as stage:
        stage.notes["unavailable"] = {"base_thinking": "its template knows no thinking"}
        stage.write(ANSWERS, answers(20, arms=("base", "rag")))
    panel = score_panel(str(tmp_path), "ada")
    for place in range(len(panel.session.items)): panel.do(str(place * 7 % 10))
    found = phase0_decision(str(tmp_path))
    assert found.word in ("GO", "NO-GO", "INCONCLUSIVE") and "base_thinking adds unavailable (its template knows no thinking)" in in_words(found)


def test_what_was_scored_stays(made, tmp_path):
    folder = Path(shutil.copytree(made, tmp_path / "run"))
    phase0_stage(toy(folder, better_by=2.0)), phase0_stage(toy(folder))  # nothing is scored yet
    before = (folder / ANSWERS).read_bytes()
    score_panel(str(folder), "ada").do("7")
    phase0_stage(toy(folder))
    assert (folder / ANSWERS).read_bytes() == before
    for more in ({"better_by": 2.0}, {"seed": 2}, {"arms": ["base", "rag"]}):
        with pytest.raises(StageError, match=f"ada.jsonl.*choose another RUN: parameters changed: {list(more)[0]}"): phase0_stage(toy(folder, **more))
    assert STAGE in Run(folder).manifest() and (folder / ANSWERS).read_bytes() == before
    rows = read_rows(folder / ANSWERS)
    write_text(folder / ANSWERS, to_lines([rows[0] | {"reply": "Better."}, *rows[1:]]))
    with pytest.raises(StageError, match="missing or was edited"): open_phase0(str(folder))
    with pytest.raises(StageError, match="choose another RUN: phase0.jsonl is missing or was edited"): phase0_stage(toy(folder))
    Run(folder).save_section(STAGE, None)  # as a kill leaves it
    with pytest.raises(StageError, match="not be those that were scored"): phase0_stage(toy(folder))
    write_text(folder / ANSWERS, before.decode())
    phase0_stage(toy(folder))
    assert len(open_phase0(str(folder)).scores()) == 1


def test_a_scored_folder_is_decided_without_its_model(made, tmp_path, monkeypatch):
    "Replies are made where the GPU is and scored on a laptop, perhaps with a newer version of this code"
    folder = Path(shutil.copytree(made, tmp_path / "run"))
    panel = score_panel(str(folder), "ada")
    for place in range(len(panel.session.items)): panel.do(str(place * 7 % 10))
    monkeypatch.setattr("replytune.phase0.answers_of", lambda *given: 1 / 0)
    for code in (Run(folder).manifest()[STAGE]["code"], "older"):
        Run(folder).save_section(STAGE, Run(folder).manifest()[STAGE] | {"code": code})
        assert re.search("^(GO|NO-GO|INCONCLUSIVE): ", phase0_line(toy(folder)), re.M)


def test_a_log_of_another_run_is_refused_in_the_folder(made, tmp_path):
    folder = Path(shutil.copytree(made, tmp_path / "run"))
    other = ScoreLog(folder / "scores", "eve", "another")
    other.add("i", 3)
    with pytest.raises(StageError, match="eve.jsonl:1 is about the replies another"): phase0_decision(str(folder))
    with pytest.raises(StageError, match="invented scores; give your own"): score_panel(str(folder), INVENTED)
    with pytest.raises(StageError, match="no finished Phase 0; make phase0"): open_phase0(str(tmp_path / "nothing"))


def test_the_command_tells_what_to_do_and_then_what_the_scores_say(made, tmp_path, capsys):
    params = tmp_path / "mine.yaml"
    params.write_text("05_generate: {model: tiny-qwen3, max_new_tokens: 6, arm_settings: {base_thinking: {max_new_tokens: 6}}}\n")
    run = tmp_path / "run"
    assert main(["phase0", "--run", str(run), "--params", str(params)]) == 0
    said = capsys.readouterr().out
    assert f'score_panel("{run}", rater="your_name").widget' in said and "nobody has scored yet" in said and "pipeline check: invented tweets, random toy model" in said
    panel = score_panel(str(run), "ada")
    for place in range(len(panel.session.items)): panel.do(str(place * 7 % 10))
    assert main(["phase0", "--run", str(run), "--params", str(params)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^(GO|NO-GO|INCONCLUSIVE): ", said, re.M) and "founding threshold, base" in said and "score_panel" not in said
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml.safe_dump(TEXTS | {"tweets": TEXTS["tweets"][:3]}))
    assert main(["phase0", "--run", str(tmp_path / "other"), "--params", str(params), "--texts", str(wrong)]) == 1
    assert "3 tweets, at least 20 are needed; add 17" in capsys.readouterr().err
    assert main(["phase0", "--params", "nbs/params/none.yaml"]) == 1


def test_make_phase0_takes_run_params_and_texts():
    said = lambda *given: subprocess.run(["make", "-n", "phase0", *given], cwd=project_root(), capture_output=True, text=True).stdout
    assert '--run "runs/phase0" --params "nbs/params/sample.yaml"' in said() and "--texts" not in said()
    assert '--run "runs/x" --params "p.yaml" --texts "t.yaml"' in said("RUN=runs/x", "PARAMS=p.yaml", "TEXTS=t.yaml")


@pytest.mark.parametrize("arms", [["base", "tuned"], ["rag"], ["base", "rag", "rag"], ["base", "human"]])
def test_arms_that_are_none_of_phase_0(arms):
    with pytest.raises(ParameterError, match="arms"): phase0_params("nbs/params/sample.yaml", arms=arms)


def test_a_set_of_items_has_one_name():
    items = blind_items(answers(), 1)
    assert set_name(items) == set_name(items[::-1]) != set_name(items[1:])
