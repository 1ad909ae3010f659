"""The project's form: modules and README in step with the notebooks, imports pointing down, pages that can be published."""
import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from readme import PICTURE, picture, readme
from replytune.run import looked_up_and_set
from replytune.schema import STAGES
from replytune.files import project_root
from replytune.params import stage_module, stage_params

PAGES = ""

ROOT = project_root()
NOTEBOOKS = sorted((ROOT / "nbs").glob("*.ipynb"))
NUMBERED = [path for path in NOTEBOOKS if path.name[0].isdigit()]
HEAVY = {"torch", "transformers", "trl", "peft", "detoxify", "sentence_transformers", "bitsandbytes", "datasets", "sklearn"}


def cells(path: Path) -> list[dict]:
    return [cell | {"source": "".join(cell["source"])} for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]


def is_exported(cell: dict) -> bool: return bool(re.search(r"^#\|\s*exports?\b", cell["source"], flags=re.M))


def exported_source(path: Path) -> str:
    return "\n".join(cell["source"] for cell in cells(path) if cell["cell_type"] == "code" and is_exported(cell))


LETTERED = [path.stem for path in NUMBERED if path.stem not in STAGES]


def module_of(path: Path) -> str: return path.stem.partition("_")[2]


def test_the_pages_and_index():
    names = [path.stem for path in NOTEBOOKS]
    assert {*STAGES, "index"} <= set(names)
    assert all(re.fullmatch(r"index|0[0-9][b-z]?_[a-z0-9_]+", name) for name in names), names


def test_top_level_holds_only_what_is_needed():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split("\n")
    if not any(tracked): pytest.skip("not a git checkout")
    allowed = {"nbs", "replytune", "settings.ini", "setup.py", "_quarto.yml", "README.md", "Makefile", "LICENSE", ".ci", ".gitignore", ".env.example", "MANIFEST.in", "conftest.py", "CONTRIBUTING.md", "CHANGELOG.md", "ruff.toml", ".gitattributes", ".github"}
    assert {name.split("/")[0] for name in tracked if name} <= allowed
    assert os.readlink(ROOT / "nbs/_quarto.yml") == "../_quarto.yml"


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    "The notebooks and settings alone, exported and cleaned afresh"
    folder = tmp_path_factory.mktemp("copy")
    for name in ("settings.ini", "setup.py", "README.md"): shutil.copyfile(ROOT / name, folder / name)
    (folder / "nbs").mkdir()
    for path in NOTEBOOKS: shutil.copyfile(path, folder / "nbs" / path.name)
    for command in ("nbdev_export", "nbdev_clean"):
        done = subprocess.run([str(Path(sys.executable).parent / command)], cwd=folder, capture_output=True, text=True,
                              env={name: value for name, value in os.environ.items() if name != "IN_TEST"})
        assert done.returncode == 0, done.stderr
    return folder


def test_library_is_what_the_notebooks_export(copy):
    ours = {path.name: path.read_text() for path in (ROOT / "replytune").glob("*.py")}
    fresh = {path.name: path.read_text() for path in (copy / "replytune").glob("*.py")}
    assert set(ours) == set(fresh), "a module without a notebook, or a notebook that was never exported"
    stale = [name for name in fresh if fresh[name] != ours[name]]
    assert not stale, f"not exported: {stale}; run make refresh"


def test_notebooks_are_clean(copy):
    dirty = [path.name for path in NOTEBOOKS if path.read_text() != (copy / "nbs" / path.name).read_text()]
    assert not dirty, f"run nbdev_clean: {dirty}"


def test_readme_is_made_from_index():
    assert (ROOT / "README.md").read_text(encoding="utf-8") == readme(), "run make refresh"
    assert (ROOT / PICTURE).read_text(encoding="utf-8") == picture(), "run make refresh"


def test_pages_and_tests_pass_the_linter():
    done = subprocess.run([str(Path(sys.executable).parent / "ruff"), "check", "--no-cache", "--output-format", "concise", str(ROOT)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_no_merge_markers():
    marker = re.compile(r"^\s*\"?(<{7} |>{7} |={7}$)", flags=re.M)
    files = [path for path in [*ROOT.glob("*"), *(ROOT / "nbs").rglob("*"), *(ROOT / "replytune").glob("*.py"), *(ROOT / ".ci").glob("*")]
             if path.is_file() and path.suffix in {".py", ".ipynb", ".md", ".ini", ".yml", ".yaml", ".jsonl", ".json", ""}]
    text_of = lambda path: path.read_text(encoding="utf-8", errors="ignore")
    inside = lambda path: "\n".join(cell["source"] for cell in cells(path)) if path.suffix == ".ipynb" else ""
    marked = [str(path) for path in files if marker.search(text_of(path)) or marker.search(inside(path))]
    assert not marked


@pytest.mark.parametrize("path", NUMBERED, ids=lambda path: path.stem)
def test_imports_point_to_lower_numbers(path):
    page_of = {module_of(other): other.stem for other in NUMBERED}
    used = re.findall(r"^\s*from replytune\.(\w+) import", exported_source(path), flags=re.M)
    assert all(page_of[name] < path.stem for name in used), used
    assert not re.search(r"^\s*from \.", exported_source(path), flags=re.M), "write absolute imports"


@pytest.mark.parametrize("path", NUMBERED, ids=lambda path: path.stem)
def test_heavy_imports_wait_inside_functions(path):
    tree = ast.parse(exported_source(path))
    at_top = {name.split(".")[0] for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))
              for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])}
    assert not at_top & HEAVY


def test_importing_the_library_loads_no_model_package():
    code = "import sys; " + "; ".join(f"import replytune.{module_of(path)}" for path in NUMBERED) + f"; print(sorted({HEAVY!r} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT).stdout.strip() == "[]"


def runs_whole(cell: dict) -> bool:
    "Does nbdev run this cell when it makes the site? It runs whatever holds an import, and all that stands beside it"
    tree, kinds = ast.parse(cell["source"]), (ast.Import, ast.ImportFrom)
    if is_exported(cell) or all(isinstance(node, kinds) for node in tree.body): return False
    return any(isinstance(node, kinds) for node in ast.walk(tree))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_pages_read_as_pages(path):
    page = cells(path)
    assert page[0]["cell_type"] == "markdown" and re.match(r"# .+\n\n> .+", page[0]["source"]), "title and one-line promise first"
    for cell in page:
        if cell["cell_type"] != "code": continue
        assert not re.search(r"^#\|.*\bexport", json.dumps(cell["metadata"])), "directives are comments"
        assert not runs_whole(cell), f"imports share a cell with code: {cell['source'][:80]}"
        if is_exported(cell): assert not cell["outputs"], "an exported cell shows nothing"
    prose_free = max(map(len, re.findall("c+", "".join("m" if cell["cell_type"] == "markdown" else "c" for cell in page))), default=0)
    assert prose_free <= 7, f"{prose_free} code cells without a word between them"


def needs_below(path: Path) -> list[str]:
    "What a cell needs, itself or through definitions of its page, that stands further down: in a notebook it would not run"
    defined, uses, steps, made = {}, {}, [], set()  # `made`: what the page takes from the library it exports, to begin with its result
    for place, cell in enumerate(cell for cell in cells(path) if cell["cell_type"] == "code"):
        looked = set()
        for node in ast.parse(cell["source"]).body:
            names, bound = looked_up_and_set(node)
            for name in bound: defined.setdefault(name, place)
            if isinstance(node, ast.ImportFrom) and node.module == f"replytune.{module_of(path)}": made |= bound
            if is_exported(cell) or isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                for name in bound: uses.setdefault(name, set()).update(names)
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef)): looked |= names
        if not is_exported(cell): steps.append((place, looked))
    found = []
    for place, todo in steps:
        seen, todo = set(), set(todo)
        while todo:
            name = todo.pop()
            seen.add(name)
            todo |= (set() if name in made else uses.get(name, set())) - seen
        found += [f"cell {place}: {name}" for name in sorted(seen) if defined.get(name, -1) > place]
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_page_runs_from_top_to_bottom(path):
    assert not needs_below(path)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_small_and_tell_nothing_of_this_machine(path):
    outputs = json.dumps([cell["outputs"] for cell in cells(path) if cell["cell_type"] == "code"])
    assert len(outputs) < 200_000
    for private in (str(ROOT), str(Path.home()) + "/", "/tmp/", "model_id"): assert private not in outputs
    assert not re.search(r"0x[0-9a-f]{8,}", outputs)
    for cell in cells(path):
        for output in cell.get("outputs", []):
            for kind, text in output.get("data", {}).items():
                if kind != "text/plain": assert not re.search(r"<script|<img", "".join(text)), "a stranger's text is markup here"


@pytest.mark.parametrize("stage", STAGES)
def test_parameters_cell_agrees_with_the_model(stage):
    tagged = [cell for cell in cells(ROOT / f"nbs/{stage}.ipynb") if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1, "exactly one cell is tagged `parameters`"
    values = {}
    exec(tagged[0]["source"], values)
    values = {name: value for name, value in values.items() if not name.startswith("__")}
    assert values == stage_params(stage)().model_dump(), "defaults in the cell and in the model differ"


@pytest.mark.parametrize("stage", STAGES)
def test_parameters_are_checked_next_and_used_last(stage):
    code = [cell for cell in cells(ROOT / f"nbs/{stage}.ipynb") if cell["cell_type"] == "code"]
    place = next(place for place, cell in enumerate(code) if "parameters" in cell["metadata"].get("tags", []))
    name = stage_module(stage)
    assert re.sub(r"^#\|.*\n", "", code[place + 1]["source"]).startswith(f"params = {name.capitalize()}Params.from_notebook(globals())")
    assert re.match(rf"{name}_stage\(params\)", code[-1]["source"])
    middle = "\n".join(cell["source"] for cell in code[place + 2:-1] if not is_exported(cell))
    assert not re.search(r"\bparams\b\s*[.)\]]", middle), "a lesson uses the job's parameters"


def test_every_public_function_says_what_it_is():
    for path in NUMBERED:
        for node in ast.parse(exported_source(path)).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                assert ast.get_docstring(node) or node.name in ("question_id",), f"{path.stem}: {node.name} has no docstring"
