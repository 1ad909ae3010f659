"""Trains the small model wrongly on purpose, in the real stage 06 on copies of the bundled run, and keeps what `diagnose` reads of each. Then the parameter
file that `diagnose` writes is run, and the one after that, until nothing is found that parameters can mend. And the bundled parameters with other seeds:
whoever calls those ill calls too much ill. A pipeline check.

    python nbs/bench/bench_diagnose.py [too_hot too_long too_short one_reply seeds]     # all of them: half an hour on two cores
"""
import argparse
import json
import shutil
from pathlib import Path
from typing import Callable

import yaml

from replytune.diagnose import PLANTED, acted_on, diagnose, v2_params, verdict
from replytune.files import read_rows, resolve, sha256, to_lines, write_text
from replytune.params import read_yaml
from replytune.run import SAMPLE_RUN, Run, copy_cache
from replytune.train import TrainParams, train_stage

FROM = "nbs/params/sample.yaml"
ALL = {"panel_tweets": 10, "patience": 0, "tracker": "none"}  # as many as an interval needs
WRONG = {
    "too_hot": {"learning_rate": 0.02, "max_steps": 6, "evaluate_steps": 2},
    "one_reply": {"learning_rate": 0.002, "max_steps": 12, "evaluate_steps": 4},
    "too_long": {"learning_rate": 0.002, "epochs": 8, "max_steps": 60, "evaluate_steps": 20, "batch_size": 2, "accumulation": 1, "log_steps": 5},
    "too_short": {"max_steps": 6, "evaluate_steps": 2},
}
FEW = 16  # train pairs that are learned by heart
SEEDS, MOST = (2, 3), 3


def trained(folder: Path, file: Path, spoil: Callable[[list[dict]], list[dict]] | None = None) -> Run:
    "Stage 06 by a parameter file on a copy of the bundled run, whose reviewed rows may be spoiled first"
    if not (folder / "manifest.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(resolve(SAMPLE_RUN), folder)
        copy_cache(folder / "cache")
        if spoil: rewrite(Run(folder), spoil)
    values = read_yaml(file)
    shared = {name: value for name, value in values["common"].items() if name in TrainParams.model_fields}
    train_stage(TrainParams.read(shared | values["06_train"] | {"run": str(folder)}))
    return Run(folder)


def one_reply(rows: list[dict]) -> list[dict]:
    "The first train reply under every train tweet"
    first = next(row["reply"] for row in rows if row["split"] == "train")
    return [row | ({"reply": first} if row["split"] == "train" else {}) for row in rows]


def few(rows: list[dict]) -> list[dict]:
    train = [row for row in rows if row["split"] == "train"]
    return [row for row in rows if row["split"] != "train" or row in train[:FEW]]


SPOILED = {"one_reply": one_reply, "too_long": few}


def rewrite(run: Run, spoil: Callable[[list[dict]], list[dict]]):
    "Other reviewed rows, as if the stage before had left them so"
    write_text(run / "reviewed.jsonl", to_lines(spoil(read_rows(run / "reviewed.jsonl"))))
    for stage, section in run.manifest().items():
        for part in ("wrote", "read"):
            if "reviewed.jsonl" in section[part]: section[part]["reviewed.jsonl"] = sha256(run / "reviewed.jsonl")
        run.save_section(stage, section)


def keep(run: Run, file: Path, target: Path):
    "What `diagnose` reads: the losses, what was learnt, and the panel before and after training"
    write_text(target / "params.yaml", file.read_text(encoding="utf-8"))
    for name in ("training_log.jsonl", "learned.json"): write_text(target / name, (run / name).read_text(encoding="utf-8"))
    panel = read_rows(run / "panel.jsonl")
    ends = {min(row["step"] for row in panel), max(row["step"] for row in panel)}
    write_text(target / "panel.jsonl", to_lines([row for row in panel if row["step"] in ends]))
    counts = {"06_train": {"counts": {"train pairs": run.manifest()["06_train"]["counts"]["train pairs"]}, "read": {}, "wrote": {}}}
    write_text(target / "manifest.json", json.dumps(counts, indent=1) + "\n")


def file_of(path: Path, more: dict) -> Path:
    "The bundled parameters, with others for stage 06"
    values = read_yaml(resolve(FROM))
    write_text(path, yaml.safe_dump(values | {"06_train": values["06_train"] | ALL | more}, sort_keys=False, allow_unicode=True))
    return path


def plant(name: str, at: Path, target: Path):
    "One wrong training, and those after it by the files that its diagnosis writes"
    file = file_of(at / name / "v1.yaml", WRONG[name])
    for number in range(1, MOST + 1):
        run = trained(at / name / f"v{number}", file, SPOILED.get(name))
        keep(run, file, target / name / f"v{number}")
        said = diagnose(run)
        print(f"{name} v{number}: {verdict(said)}", flush=True)
        if not any(one.changes for one in acted_on(said)): break
        text = v2_params(run, str(file))
        file = at / name / f"v{number + 1}.yaml"
        write_text(file, text)


def seeds(at: Path, target: Path):
    "The bundled parameters, but for the seed"
    for seed in SEEDS:
        file = file_of(at / f"seed_{seed}.yaml", {"seed": seed})
        run = trained(at / f"seed_{seed}", file)
        keep(run, file, target / "seeds" / f"seed_{seed}")
        print(f"seed {seed}: {verdict(diagnose(run))}", flush=True)


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("names", nargs="*", default=[*WRONG, "seeds"])
    asked.add_argument("--runs", default="runs/planted")
    asked.add_argument("--into", default=PLANTED)
    given = asked.parse_args()
    for name in given.names:
        if name == "seeds": seeds(Path(given.runs), resolve(given.into))
        else: plant(name, Path(given.runs), resolve(given.into))
