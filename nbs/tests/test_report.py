"""What the run knows of its texts reaches the report: stages 06 and 08 write it, older runs say what is missing, strangers' texts stay texts."""
import json
import re
import shutil

import pytest

from replytune.browse import cards_of
from replytune.files import read_json, read_rows, sha256, to_lines, write_text
from replytune.forget import forget
from replytune.generate import REPAIRS, GenerateParams, Generation, generate_stage
from replytune.learned import REPLIES, learned_of, learned_sentence
from replytune.measures import Estimate, MeasureParams, measures_json, measures_of_run
from replytune.models import load_tokenizer
from replytune.report import (
    MEASURED, ReportParams, answers_of, panel_cells, read_measured, report_stage, text_cells, text_figures, turned_down, verdict_sentence,
)
from replytune.run import Run, sample_copy, sample_rows, why_run
from replytune.schema import ARMS, Pair, StageError, replies_file
from replytune.stats import StatsParams, stats_stage
from replytune.train import TrainParams, train_stage

PAGES = "05b 05e 06 08 09 09c"
pytestmark = pytest.mark.usefixtures("sample_vectors", "known_fits")

GAINED = {"gained": Estimate(0.81, 0.7, 0.9, 31), "gained with any tweet": Estimate(0.8, 0.69, 0.89, 31), "gained about the tweet": Estimate(0.01, -0.01, 0.03, 31)}
LEARNED = {"tweets": 31, "replies": 62, "losses": measures_json(GAINED), "parameters": {"confidence": 0.9}}


def sign(run: Run, stage: str, name: str, content):
    "Put a file into a run as its stage would have left it"
    write_text(run / name, content if isinstance(content, str) else json.dumps(content))
    section = run.manifest()[stage]
    run.save_section(stage, section | {"wrote": section["wrote"] | {name: sha256(run / name)}})


def report_of(run: Run) -> str:
    report_stage(ReportParams(run=str(run.folder)))
    return (run / "report.html").read_text(encoding="utf-8")


def copied(run: Run, folder) -> Run: return Run(shutil.copytree(run.folder, folder / "run"))


def stripped(run: Run) -> Run:
    "As an older version left it: neither file"
    for name, (stage, _) in MEASURED.items():
        section = run.manifest()[stage]
        run.save_section(stage, section | {"wrote": {file: used for file, used in section["wrote"].items() if file != name}})
        (run / name).unlink(missing_ok=True)
    return run


@pytest.fixture(scope="module")
def measured() -> Run:
    "The sample run with both files: what tuning learned is made up, the panel is stage 08's"
    run = sample_copy("08_stats")
    sign(run, "06_train", "learned.json", LEARNED)
    stats_stage(StatsParams(run=str(run.folder), confidence=0.9, power=0.7, resamples=100, permutations=100, seed=17))
    return run


def test_stage_08_writes_the_panel_of_every_arm(measured):
    found, manifest = read_json(measured / "measures.json"), measured.manifest()
    encoder = manifest["05_generate"]["parameters"]["encoder"]
    wanted = measures_of_run(measured, encoder, MeasureParams(confidence=0.9, resamples=100, seed=17))
    assert found.pop("label") and found == json.loads(json.dumps(wanted)) and found["parameters"]["confidence"] == 0.9
    assert set(found["arms"]) == {"base", "null", "rag", "tuned", "human"} and "value" in found["arms"]["tuned"]["Vendi"]
    section = manifest["08_stats"]
    assert section["took"]["05_generate"]["encoder"] == encoder and {"reviewed.jsonl", *map(replies_file, found["arms"])} <= section["read"].keys()
    assert read_json(measured / "stats.json")["power"] == 0.7


def test_no_text_and_no_id_is_in_it(measured):
    text = (measured / "measures.json").read_text(encoding="utf-8")
    ids = {row["tweet_id"] for row in read_rows(measured / "reviewed.jsonl")}
    assert not re.search(r"\d{12}", re.sub(r"\d\.\d+", "", text)) and not any(id in text for id in ids)
    assert not any(row.reply and row.reply in text for rows in answers_of(measured, measured.manifest()).values() for row in rows)


def test_without_the_encoder_the_rest_is_measured(tmp_path):
    run = sample_copy("08_stats")
    section = run.manifest()["05_generate"]
    run.save_section("05_generate", section | {"parameters": section["parameters"] | {"encoder": "runs/no-such-encoder"}})
    stats_stage(StatsParams(run=str(run.folder), resamples=100, permutations=100))
    found = read_json(run / "measures.json")["arms"]["tuned"]
    assert "runs/no-such-encoder" in found["Vendi"]["unavailable"] and "value" in found["chrF"] and "value" in found["copy of the tweet"]


def test_the_report_of_a_measured_run(measured):
    page = report_of(measured)
    assert "Of 0.81 (0.70 to 0.90) nats a token that tuning gained on 62 human replies to 31 dev tweets, 0.01 (-0.01 to 0.03) depend on the tweet (90% intervals): register, not relevance." in page
    assert "not measured" not in page and page.count("<svg") == 10 == measured.manifest()["09_report"]["counts"]["figures"]
    assert {"figures/lengths.svg", "figures/panel.svg", "figures/gains.svg"} <= measured.manifest()["09_report"]["wrote"].keys()
    assert {"learned.json", "measures.json"} <= measured.manifest()["09_report"]["read"].keys()
    assert '<th scope="col">90% interval</th>' in page and "(90% interval" in page and "(90%), and what each cannot see" in page
    for name in (*REPAIRS, "missing", "cut off", "refusal", "prompt echo"): assert f'<th scope="row">repaired: {name}</th>' in page or f'<th scope="row">{name}</th>' in page
    assert "what is 32 kB apart" in page and "stance; whether a topic is the tweet&#39;s" in page


def test_an_older_run_says_what_was_not_measured(measured, tmp_path):
    page = report_of(stripped(copied(measured, tmp_path)))
    assert "not measured: 06_train of this run is older and wrote no learned.json; FROM=06 does" in page
    assert "not measured: 08_stats of this run is older and wrote no measures.json; FROM=08 does" in page
    assert page.count("<svg") == 8 and '<th scope="row">refusal</th>' not in page and '<th scope="row">cut off</th>' in page


def test_what_could_not_be_measured_says_why(measured, tmp_path):
    run, why = copied(measured, tmp_path), {"unavailable": "4 tweets; an interval needs 10"}
    sign(run, "06_train", "learned.json", LEARNED | {"losses": dict.fromkeys(GAINED, why)})
    found = read_json(run / "measures.json")
    sign(run, "08_stats", "measures.json", found | {"arms": {arm: dict.fromkeys(one, why) for arm, one in found["arms"].items()}})
    page = report_of(run)
    assert "What tuning learned about the tweet: unavailable (4 tweets; an interval needs 10)." in page and page.count("<svg") == 8
    assert page.count("4 tweets; an interval needs 10") > 5 * 15


def test_a_strangers_text_stays_text(measured, tmp_path):
    run, evil = copied(measured, tmp_path), "<script>alert(1)</script><img src=x>"
    sign(run, "06_train", "learned.json", LEARNED | {"losses": dict.fromkeys(GAINED, {"unavailable": evil})})
    found = read_json(run / "measures.json")
    sign(run, "08_stats", "measures.json", found | {"blind": dict.fromkeys(found["blind"], evil)})
    page = report_of(run)
    assert page.count("<script") == 1 and "<img" not in page and page.count("&lt;script&gt;") > len(found["blind"])


@pytest.mark.parametrize("name", list(MEASURED))
@pytest.mark.parametrize("spoil", [
    lambda found, part: found | {part: {}} if part == "losses" else found | {part: {"base": {}}}, lambda found, part: {}, lambda found, part: found | {part: None}, lambda found, part: found | {part: [1]},
    lambda found, part: {key: value for key, value in found.items() if key != "parameters"},
    lambda found, part: json.loads(json.dumps(found).replace('"low"', '"lower"')), lambda found, part: json.loads(json.dumps(found).replace('"tweets": 31}', '"tweets": "31"}'))])
def test_a_file_of_another_kind_is_named(measured, tmp_path, name, spoil):
    run, (stage, part) = copied(measured, tmp_path), MEASURED[name]
    sign(run, stage, name, spoil(read_json(run / name), part))
    with pytest.raises(StageError, match=f"{name} is not what {stage} writes; run FROM=0"): read_measured(run, name)


@pytest.mark.parametrize("content", ['{"losses": NaN}', "[]", "{"])
def test_a_damaged_file_is_named(measured, tmp_path, content):
    run = copied(measured, tmp_path)
    sign(run, "06_train", "learned.json", content)
    with pytest.raises(StageError, match="learned.json is not JSON"): report_of(run)


def test_an_edited_file_is_refused(measured, tmp_path):
    run = copied(measured, tmp_path)
    with open(run / "measures.json", "a") as file: file.write(" ")
    with pytest.raises(StageError, match="measures.json changed since 08_stats wrote it"): report_of(run)


# rows that were turned down

@pytest.mark.parametrize("name, stage", [("rejected.jsonl", "02"), ("reviews_rejected.jsonl", "04")])
@pytest.mark.parametrize("change", [
    lambda row: {"colour": "blue"}, lambda row: row | {"reasons": None}, lambda row: row | {"reasons": [1]}, lambda row: {key: value for key, value in row.items() if key not in ("pair", "reply")},
    lambda row: row | {"pair": None, "reply": None}, lambda row: row | {"pair": {}, "reply": 7}])
def test_a_row_without_reasons_or_reply_is_named(name, stage, change):
    run, rows = sample_copy("09_report"), sample_rows(name)
    write_text(run / name, to_lines([*rows[:2], change(rows[2])]))
    with pytest.raises(StageError, match=f"{name}:3 has no reasons or no reply; run FROM={stage}"): turned_down(run)
    write_text(run / name, to_lines(rows))
    assert dict(zip(("rejected.jsonl", "reviews_rejected.jsonl"), turned_down(run)))[name] == rows


# tables

def reply(id: str, arm: str, text: str | None, **more) -> Generation: return Generation(tweet_id=id, arm=arm, reply=text, **more)


def test_shares_are_of_rows_and_every_reply_is_shown():
    base = [reply("1", "base", "Hm.", finished=False, repairs=["lines", "half sentence"]), reply("1", "base", None, reason="empty"), reply("2", "base", "x" * 40), reply("2", "base", "Yes.", finished=True)]
    human = [reply(id, "human", "No, thanks.") for id in ("1", "2")]
    table = text_cells({"base": base, "human": human}, {"arms": {"base": {"refusal": Estimate(0.25, 0.1, 0.5, 2)._asdict()}}})
    assert table["tweets"] == ["2", "2"] and table["replies"] == ["3", "2"] and table["characters, median"] == ["4", "11"]
    assert table["cut off"] == table["missing"] == table["repaired: lines"] == ["25%", "0%"] and table["repaired: thought"] == ["0%", "0%"]
    assert table["refusal"] == ["25%", "not measured"]
    rows = [{"contrast": "base-human", "tweet_id": id, "sample": 0, "first": "base", "score_first": 1.0, "probability": None, "both_ended": id == "2", "flagged": False, "identical": False} for id in ("1", "2")]
    shown = cards_of("base-human", rows, {"1": "Tweet 1", "2": "Tweet 2"}, {"base": base, "human": human, "rag": base})
    assert [side["text"] for side in shown[0]["sides"]] == ["Hm.", "No, thanks."] and shown[0]["others"] == [("rag", "Hm."), ("rag (2)", "[no reply: empty]")] and shown[0]["marks"] == ["cut off"] and shown[1]["marks"] == []


def test_an_arm_of_nothing_has_a_column():
    table = text_cells({"base": [reply("1", "base", None, reason="empty")], "human": []}, None)
    assert table["characters, median"] == ["none", "none"] and table["missing"] == ["100%", "none"] and "refusal" not in table


def test_without_a_human_arm_there_is_no_multiple():
    measures = {"arms": {"base": measures_json(GAINED)}, "blind": {"gained": "all"}}
    assert list(text_figures({"base": [reply("1", "base", "Hm.")]}, None, measures, "")) == ["lengths"]
    assert panel_cells(measures) == [{"name": "gained", "cells": [("0.81", "0.7 to 0.9")], "blind": "all"}]


def test_confidence_and_power_are_those_of_the_parameters():
    stats = json.loads((sample_copy("09_report") / "stats.json").read_text()) | {"decision": "INCONCLUSIVE", "why": "few", "n_needed": 90, "n_needed_range": [30, 100]}
    said = verdict_sentence(stats | {"rule": stats["rule"] | {"confidence": 0.99}, "power": 0.65})
    assert "(99% interval" in said and "would decide in 65% of such runs (30 to 100" in said and "95" not in said.split("This is about")[0]
    assert "in most such runs" in verdict_sentence({name: stats[name] for name in stats if name != "power"})


# stage 06, with the toy, and what is forgotten

@pytest.fixture(scope="module")
def trained() -> Run:
    run = sample_copy("05_generate")
    generate_stage(GenerateParams(run=str(run.folder), model="tiny-qwen3", max_new_tokens=2, tweets_max=12, arms=["base", "tuned", "human"]))
    train_stage(TrainParams(run=str(run.folder), max_steps=2, learning_rate=0.01))
    return run


def test_stage_06_measures_what_tuning_learned(trained):
    found, section = read_json(trained / "learned.json"), trained.manifest()["06_train"]
    assert section["wrote"]["learned.json"] == sha256(trained / "learned.json") and found["tweets"] == 13 and 13 <= found["replies"] <= 13 * REPLIES
    assert found["losses"]["gained"]["value"] > 0 and found["parameters"]["batch_size"] == section["parameters"]["batch_size"]
    assert "human replies to 13 dev tweets" in learned_sentence(read_measured(trained, "learned.json"))
    assert why_run(trained, "06_train", TrainParams(run=str(trained.folder), max_steps=2, learning_rate=0.01)) is None


def test_few_tweets_load_no_model_for_it():
    pairs = [Pair.model_validate(row) for row in sample_rows("reviewed.jsonl") if row["split"] == "test"][:5]
    assert all("unavailable" in each for each in learned_of(lambda: 1 / 0, load_tokenizer("tiny-qwen3"), pairs)["losses"].values())


def test_both_files_go_with_their_stages(measured, tmp_path):
    run = copied(measured, tmp_path)
    someone = next(row for row in read_rows(run / "reviewed.jsonl") if row["split"] == "train")["reply_author"]
    answer = forget(run.folder, someone)
    assert {"06_train", "08_stats"} <= set(answer["make again"]) and not (run / "learned.json").exists()
    assert run.writer("measures.json") is None and all(ARMS[arm].stage != "06_train" for arm in answers_of(run, run.manifest()))
