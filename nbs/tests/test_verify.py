"""A byte is turned in every file of a run: `verify` names the file and the stages that no longer hold."""
import shutil
import subprocess
from pathlib import Path

import pytest

from replytune.files import resolve, write_text
from replytune.forget import forget
from replytune.line import main, run_line
from replytune.run import SAMPLE_RUN, Run, sample_rows
from replytune.schema import STAGES, StageError
from replytune.verify import SEAL, check_run, is_sealed, provenance_picture, provenance_tree, seal_manifest, stale_stages, unsigned_files, verify

PAGES = "00v"


@pytest.fixture
def run(tmp_path):
    run = Run(shutil.copytree(resolve(SAMPLE_RUN), tmp_path / "run"))
    seal_manifest(run)
    return run


def flip(path: Path, place: float = 0.5):
    data = bytearray(path.read_bytes())
    if data: data[min(int(len(data) * place), len(data) - 1)] ^= 1
    else: data = b"\n"
    path.write_bytes(data)


def found_in(run: Run) -> dict[str, tuple[str, ...]]:
    "What is not as it was, and what it makes stale; a manifest that cannot be read counts"
    try: return {each.file: each.stale for each in check_run(run.folder) if each.what != "missing"}
    except StageError as error: return {"manifest.json": STAGES} if "manifest.json is damaged" in str(error) else {}


FILES = sorted(path.relative_to(resolve(SAMPLE_RUN)).as_posix() for path in resolve(SAMPLE_RUN).rglob("*") if path.is_file())


def test_untouched_nothing_is_found_but_what_stayed_behind(run):
    assert found_in(run) == {} and unsigned_files(run) == [] and len(FILES) > 30
    missing = {each.file for each in check_run(run.folder)}
    assert all(name.startswith(("raw/", "adapter/", "figures/", "reviews/")) or name == "report.html" for name in missing)


@pytest.mark.parametrize("place", [0.0, 0.37, 1.0])
def test_a_flipped_byte_is_found_in_every_file(run, place):
    stages = run.manifest()
    for name in [*FILES, SEAL]:
        kept = (run / name).read_bytes()
        flip(run / name, place)
        found = found_in(run)
        if name in ("manifest.json", SEAL): assert "manifest.json" in found, name
        else: assert found == {name: stale_stages(stages, name)} and found[name][0] == run.writer(name), name
        assert verify(run.folder)[1] == 1 if name != "manifest.json" else True
        (run / name).write_bytes(kept)
    assert found_in(run) == {}


def test_every_byte_of_a_small_file_and_of_the_manifest_counts(run):
    for name in ("split_audit.json",):
        kept = (run / name).read_bytes()
        for number in range(len(kept)):
            (run / name).write_bytes(kept[:number] + bytes([kept[number] ^ 1]) + kept[number + 1:])
            assert name in found_in(run), number
        (run / name).write_bytes(kept)
    kept = (run / "manifest.json").read_bytes()
    for number in range(0, len(kept), 1999):
        (run / "manifest.json").write_bytes(kept[:number] + bytes([kept[number] ^ 1]) + kept[number + 1:])
        assert "manifest.json" in found_in(run), number


def test_a_changed_file_makes_stale_what_the_line_would_run_again(run):
    flip(run / "generations/tuned.jsonl")
    assert found_in(run) == {"generations/tuned.jsonl": ("06_train", "07_judge", "08_stats", "09_report")}
    flip(run / "deduplicated.jsonl")
    assert found_in(run)["deduplicated.jsonl"] == ("03_clean", "03b_split", "04_review", "05_generate", "06_train", "07_judge", "08_stats", "09_report")


def test_a_stage_that_read_another_file_is_stale_although_every_file_is_signed(run):
    section = run.manifest()["08_stats"]
    section["read"]["judgements.jsonl"] = "0" * 64
    run.save_section("08_stats", section)
    seal_manifest(run)
    assert found_in(run) == {"judgements.jsonl": ("08_stats", "09_report")}


def test_decisions_of_people_and_sources_outside_count(run, tmp_path):
    (run / "reviews").mkdir()
    write_text(run / "reviews/anna.jsonl", "{}\n")
    assert found_in(run) == {"reviews/anna.jsonl": ("04_review", "05_generate", "06_train", "07_judge", "08_stats", "09_report")}
    section = run.manifest()["01_collect"]
    write_text(tmp_path / "dump.json", "[]")
    run.save_section("01_collect", section | {"sources": {str(tmp_path / "dump.json"): "0" * 64}})
    seal_manifest(run)
    assert found_in(run)[str(tmp_path / "dump.json")] == STAGES


def test_the_seal_is_what_sha256sum_reads(run):
    done = subprocess.run(["sha256sum", "-c", SEAL], cwd=run.folder, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "manifest.json: OK\n"


def test_without_a_seal_it_says_so_and_seals_on_request(run, capsys):
    (run / SEAL).unlink()
    main(["verify", str(run.folder)])
    assert "manifest.json has no seal" in capsys.readouterr().out
    main(["verify", str(run.folder), "--seal"])
    assert "manifest.json is as it was sealed" in capsys.readouterr().out and is_sealed(run)


def test_the_command_says_what_to_run_again_and_ends_in_one(run, capsys):
    flip(run / "judgements.jsonl")
    write_text(run / "planned.json", "{}")
    for name in ("a", "b"): write_text(run / "cache/replies" / name, "")
    assert main(["verify", str(run.folder)]) == 1
    said = capsys.readouterr().out
    assert "changed  judgements.jsonl  (stale: 07_judge, 08_stats, 09_report)" in said and "signed by no stage, not checked: planned.json, cache/ (" in said and "cache/replies" not in said
    assert main(["verify", str(run.folder / "nowhere")]) == 1


def test_a_run_of_the_line_ends_sealed_and_a_wrong_seal_stays_wrong(tmp_path):
    folder, params = tmp_path / "run", "nbs/params/sample.yaml"
    run_line(str(folder), params, last="01", notebooks=False)
    run = Run(folder)
    assert is_sealed(run) and verify(folder)[1] == 0
    run_line(str(folder), params, last="02", notebooks=False)
    assert is_sealed(run) and verify(folder)[1] == 0
    write_text(run / "manifest.json", (run / "manifest.json").read_text().replace('"duplicate": 6', '"duplicate": 7'))
    run_line(str(folder), params, last="02", notebooks=False)
    assert is_sealed(run) is False and verify(folder)[1] == 1


def test_forgetting_keeps_the_seal_true(run):
    author = next(row["reply_author"] for row in sample_rows("reviewed.jsonl") if row["split"] == "train")
    forget(run.folder, author)
    assert is_sealed(run) and not [each for each in check_run(run.folder) if each.what == "changed"]


def test_the_tree_and_the_picture_go_from_the_verdict_to_the_raw_hash(run, capsys):
    manifest = run.manifest()
    assert main(["provenance", str(run.folder), "--tree"]) == 0
    tree = capsys.readouterr().out
    assert tree.rstrip("\n") == provenance_tree(run.folder)
    assert tree.startswith("stats.json") and f"nbs/sample/raw.json {manifest['01_collect']['sources']['nbs/sample/raw.json'][:8]} from outside" in tree
    for stage in STAGES[:-1]: assert f"by {stage} {manifest[stage]['code'][:6]}" in tree
    for name in manifest["08_stats"]["read"]: assert f"{name} " in tree
    picture = provenance_picture(run.folder, stale=("08_stats",))
    assert "verdict" in picture.svg and "INVALID" in picture.svg and "0be370c0" in picture.svg and "#d1495b" in picture.svg
    with pytest.raises(StageError, match="no stage of this run wrote nothing.json"): provenance_tree(run.folder, "nothing.json")
    assert "report.html" in provenance_picture(run.folder, "report.html").svg
