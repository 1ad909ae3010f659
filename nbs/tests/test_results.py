"""The stored sample run is what today's code and parameters would make, as far as can be said without making it."""
import json
import runpy

import pytest

from replytune.schema import STAGES
from replytune.files import read_json, read_rows, resolve, sha256
from replytune.params import read_params, stage_module
from replytune.run import Run, SAMPLE_RUN, code_version, disclaimer, stored_params

from picture import PICTURE, shows

PAGES = ""

RUN = Run(SAMPLE_RUN)
MANIFEST = RUN.manifest()


def test_every_stage_signed():
    assert list(MANIFEST) == list(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_made_by_this_code_and_these_parameters(stage):
    assert MANIFEST[stage]["code"] == code_version(stage_module(stage)), "the code changed since: make results"
    assert MANIFEST[stage]["parameters"] == stored_params(read_params(resolve("nbs/params/sample.yaml"))[stage]), "the parameters changed since: make results"


@pytest.mark.parametrize("stage", STAGES)
def test_files_are_untouched(stage):
    section = MANIFEST[stage]
    for name, used in section["wrote"].items():
        if (RUN / name).exists(): assert sha256(RUN / name) == used, name
    for name, used in section["sources"].items(): assert sha256(resolve(name)) == used, f"{name} changed since: make results"
    for name, used in section["read"].items(): assert any(used == other["wrote"].get(name) for other in MANIFEST.values()), name


def test_sample_is_what_its_builder_makes(tmp_path):
    built = runpy.run_path(str(resolve("nbs/sample/build.py")))
    maker = built["build"]()
    rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in maker.items)
    assert resolve("nbs/sample/raw.json").read_text(encoding="utf-8") == f"[{rows}]\n"
    assert read_rows(resolve("nbs/sample/reviews/written_rules.jsonl")) == built["decisions"](maker)


def test_sample_is_large_and_varied_enough():
    built = runpy.run_path(str(resolve("nbs/sample/build.py")))
    texts = [reply for talk in built["conversations"]() for reply in talk["replies"]]
    maker = built["build"]()
    tweets = {row["id"] for row in maker.items if row.get("isReply") is False}
    assert len(set(texts)) >= 350 and len(tweets) >= 80 and len(maker.roles) >= 700
    openings = [" ".join(text.split()[:3]).lower() for text in texts]
    assert len(set(openings)) > 0.95 * len(openings)
    counts = MANIFEST["04_review"]["counts"]
    assert counts["test tweets"] >= 24 and counts["dev tweets"] >= 12
    reasons = {reason for row in read_rows(RUN / "rejected.jsonl") for reason in row["reasons"]}
    assert {"tweet_is_retweet", "tweet_is_quote", "tweet_likes", "tweet_retweets", "reply_likes", "followers", "followers_unknown", "delay", "media", "link",
            "characters", "unique_words", "generic", "spam", "language", "toxic"} <= reasons


def test_the_readme_shows_this_report():
    on_it, written = shows()
    assert on_it == written, "the report changed since its picture was made: python nbs/tests/picture.py runs/results/report.html"
    assert f"]({PICTURE})" in resolve("README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["stats.json", "measures.json", "learned.json"])
def test_exported_numbers_say_what_they_are(name):
    assert read_json(RUN / name)["label"] == disclaimer(MANIFEST) != ""
