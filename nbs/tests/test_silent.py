"""No mutant of a run ends in a number: each is applied to a copy, the real stage runs, and what it says is looked at."""
import ast
import importlib.metadata
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from replytune.files import project_root
from replytune.run import missing
from replytune.silent import GOOD, Ending, ending_of, without_paths
from replytune.schema import StageError, unavailable

from mutants import FILE, MUTANTS, STAGE, fresh, stats_of

PAGES = "08e"
pytestmark = pytest.mark.usefixtures("sample_vectors", "known_fits")

STORED = {(row["stage"], row["kind"], row["name"]): row for row in json.loads(FILE.read_text(encoding="utf-8"))}
key = lambda mutant: (mutant.stage, mutant.kind, mutant.name)
owed = lambda mutant: [pytest.mark.xfail(strict=True, reason=mutant.owed)] if mutant.owed else []


@pytest.mark.parametrize("mutant", [pytest.param(each, marks=owed(each), id=f"{each.stage[:3].strip('_')}-{each.name}") for each in MUTANTS if each.work])
def test_nothing_passes_in_silence(mutant):
    ending = ending_of(mutant.work)
    assert ending.kind == mutant.ends in GOOD, ending
    assert re.search(mutant.said, ending.said, re.S), ending


def test_without_a_mutation_there_is_a_verdict():
    "What is spoiled was sound: the made-up run gets its GO"
    assert stats_of(fresh("08_stats"))["decision"] == "GO"


@pytest.mark.parametrize("stage", ["02_validate", "03_clean", "03b_split", "04_review", "09_report"])
def test_without_a_mutation_the_stages_run(stage): STAGE[stage](fresh(stage))


def test_the_stored_table_is_that_of_these_mutants():
    assert list(STORED) == [key(mutant) for mutant in MUTANTS], "run nbs/tests/mutants.py"
    for mutant in MUTANTS:
        row = STORED[key(mutant)]
        assert (row["done"], row["owed"]) == (mutant.done, mutant.owed), "run nbs/tests/mutants.py"
        assert mutant.owed or row["ends"] == mutant.ends and (mutant.test or len(row["said"]) == 160 or re.search(mutant.said, row["said"], re.S)), row
        assert not re.search(r"/(tmp|home|work|root)\b|https?:", row["said"]), row


def test_there_are_enough_of_every_kind():
    assert len(MUTANTS) >= 100 and len({key(mutant) for mutant in MUTANTS}) == len(MUTANTS)
    assert min(Counter(mutant.kind for mutant in MUTANTS).values()) >= 8


@pytest.mark.parametrize("name", sorted({mutant.test for mutant in MUTANTS if mutant.test}))
def test_the_tests_that_are_named_exist(name):
    file, _, function = name.partition("::")
    tree = ast.parse((Path(__file__).parent / file).read_text(encoding="utf-8"))
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_extra_of_the_project_is_named_with_its_line():
    text = (project_root() / "settings.ini").read_text(encoding="utf-8")
    for extra in ("train", "twscrape", "judge"):
        for package in re.search(rf"^{extra}_requirements = (.*)$", text, re.M)[1].split():
            name = re.match(r"[\w-]+", package)[0]
            if not any(re.match(rf"{name}\b", each) for each in importlib.metadata.requires("replytune") or []): continue  # installed before it was named
            assert f"'replytune[{extra}]'" in missing({"alt-profanity-check": "profanity_check", "scikit-learn": "scikit-learn"}.get(name, name.replace("-", "_")))


# how an ending is read

def raises(error): raise error


@pytest.mark.parametrize("work, kind", [
    (lambda: raises(StageError("x")), "error"), (lambda: raises(KeyError("x")), "traceback"), (lambda: raises(ValueError("of somebody else's")), "traceback"), (lambda: json.loads("{"), "traceback"),
    (lambda: b"\xff".decode(), "traceback"), (lambda: unavailable("few"), "unavailable"), (lambda: {"decision": "INVALID", "why": "x"}, "INVALID"), (lambda: {"decision": "INCONCLUSIVE", "why": "x"}, "INCONCLUSIVE"),
    (lambda: {"decision": "GO", "why": "x"}, "number"), (lambda: 0.5, "number"), (lambda: None, "number"), (lambda: Ending(kind="error", said="x"), "error")])
def test_an_ending_is_named_or_it_is_none(work, kind): assert ending_of(work).kind == kind


def test_no_path_and_no_address_is_kept():
    assert without_paths("/a/b-c/d.jsonl:3 is not 1/2, see https://a.example/b and runs/x.json") == "d.jsonl:3 is not 1/2, see (address) and runs/x.json"
