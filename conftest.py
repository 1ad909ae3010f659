"""Let pytest collect the notebooks: every cell that checks something is one test, and every stored output must be what its cell prints today.

Exported cells are not run again; their names come from the installed library, so what ships is what is tested. `--write-outputs` stores fresh outputs
instead of comparing them. Cells flagged `slow`, `gpu` or `net` are skipped unless `--nb-flags` names them.
"""
import ast
import difflib
import gc
import json
import os
import traceback
from pathlib import Path

import matplotlib
import pandas
import pytest
from execnb.nbio import read_nb, write_nb
from execnb.shell import CaptureShell
from nbdev.config import get_config
from nbdev.process import NBProcessor

EXPORTS = {"export", "exports", "exporti"}


def pytest_addoption(parser):
    parser.addoption("--nb-flags", default="", help="flags whose cells are to run, e.g. 'slow gpu'")
    parser.addoption("--write-outputs", action="store_true", help="store the outputs of this run in the notebooks")
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")
    parser.addoption("--page", default="", help="one page and its tests, by its number: 03, 03b")


def pytest_configure(config):
    import hypothesis
    hypothesis.settings.register_profile("the same every time", derandomize=True, max_examples=60, deadline=None)
    hypothesis.settings.register_profile("a new search", max_examples=500, deadline=None)
    hypothesis.settings.load_profile("a new search" if config.getoption("--slow") else "the same every time")
    config.addinivalue_line("markers", "rendered: needs the whole site as HTML, or a browser; make check does without")
    config.addinivalue_line("markers", "slow: browser, kill and soak tests; run with --slow (make test-slow)")


def belongs(item, page: str) -> bool:
    "Is an item on a page, or in a test file that names the page in its `PAGES`?"
    if item.path.suffix == ".ipynb": return item.path.name.startswith(f"{page}_")
    return page in item.module.PAGES.split()


def pytest_collection_modifyitems(config, items):
    if page := config.getoption("--page"):
        others = [item for item in items if not belongs(item, page)]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]
        if not items: raise pytest.UsageError(f"there is no page {page!r}")
    if config.getoption("--slow"): return
    for item in items:
        if item.get_closest_marker("slow"): item.add_marker(pytest.mark.skip(reason="slow; make test-slow runs it"))


def pytest_collect_file(file_path, parent):
    nbs = Path(__file__).parent / "nbs"
    page, post = file_path.parent == nbs and file_path.name[0] not in "._", file_path.parent.parent == nbs / "blog/posts" and file_path.name == "index.ipynb"
    if file_path.suffix == ".ipynb" and (page or post):
        return NotebookFile.from_parent(parent, path=file_path)


def checks(source: str) -> bool:
    "Does a cell assert something or call a `test_*` function?"
    name = lambda call: getattr(call.func, "id", getattr(call.func, "attr", ""))
    return any(isinstance(node, ast.Assert) or isinstance(node, ast.Call) and name(node).startswith("test_") for node in ast.walk(ast.parse(source)))


def without_noise(outputs) -> list[dict]:
    "Outputs as they are stored: no error stream, no execution counts, adjoining text joined"
    kept = []
    for output in json.loads(json.dumps(outputs)):
        if output["output_type"] == "stream":
            if output["name"] == "stderr": continue
            text = "".join(output["text"])
            if kept and kept[-1]["output_type"] == "stream": kept[-1]["text"] = "".join(kept[-1]["text"]) + text
            else: kept.append({"name": "stdout", "output_type": "stream", "text": text})
        elif output["output_type"] in ("execute_result", "display_data"):
            data = {kind: "".join(value) if isinstance(value, list) else value for kind, value in output["data"].items()}
            kept.append({"data": data, "metadata": {}, "output_type": output["output_type"]} | ({"execution_count": None} if output["output_type"] == "execute_result" else {}))
    return kept


def as_stored(outputs: list[dict]) -> list[dict]:
    "Text split into lines, as notebooks keep it"
    for output in outputs:
        if "text" in output: output["text"] = output["text"].splitlines(True)
        for kind, value in output.get("data", {}).items():
            if isinstance(value, str): output["data"][kind] = value.splitlines(True)
    return outputs


@pytest.fixture(scope="session")
def sample_vectors():
    "The sample's texts encoded once, where every throw-away copy of the sample run takes its vectors from"
    from replytune.vectors import Vectors
    from replytune.files import resolve
    from replytune.run import SAMPLE_CACHE, sample_rows
    rows = [*sample_rows("valid.jsonl"), *sample_rows("clean.jsonl")]
    return Vectors(folder=resolve(SAMPLE_CACHE)).of(sorted({row[name] for row in rows for name in ("tweet", "reply")}))


class NotebookFile(pytest.File):
    def collect(self):
        flags = set(get_config().tst_flags.split()) - set(self.config.getoption("--nb-flags").split())
        stored = {cell["id"]: cell for cell in json.loads(self.path.read_text(encoding="utf-8"))["cells"]}
        notebook = NBProcessor(self.path, process=True).nb
        self.module = next((cell.directives_["default_exp"][0] for cell in notebook.cells if "default_exp" in (getattr(cell, "directives_", None) or {})), None)
        self.fresh, todo, number = {}, [], 0
        for cell in notebook.cells:
            directives = getattr(cell, "directives_", None) or {}
            if cell.cell_type != "code" or not cell.source.strip() or directives.get("eval:", [""])[0].lower() == "false": continue
            skip, exported = flags & directives.keys(), bool(EXPORTS & directives.keys())
            if not skip: todo.append((cell, exported, without_noise(stored[cell.id]["outputs"])))
            if skip or checks(cell.source) and not exported:
                number += 1
                yield NotebookTest.from_parent(self, name=f"{number:02d}-{cell.id}", cells=[] if skip else todo, skip=skip)
                if not skip: todo = []
        if todo: yield NotebookTest.from_parent(self, name="rest", cells=todo, skip=set())

    def setup(self):
        self.broken, self.loaded, self.cwd, self.environ = None, False, os.getcwd(), dict(os.environ)
        for name in [each for each in os.environ if each.endswith(("_API_KEY", "_TOKEN", "_BASE_URL"))]: del os.environ[name]  # another test's rehearsal
        os.environ["IN_TEST"] = "1"
        os.chdir(self.path.parent)
        pandas.reset_option("^display")  # a page says how wide its tables are; the page before it must not say it for the next
        matplotlib.rcdefaults()
        self.shell = CaptureShell(self.path)

    def teardown(self):
        os.chdir(self.cwd)
        if self.config.getoption("--write-outputs") and not self.broken: self.write()
        os.environ.clear()
        os.environ.update(self.environ)  # without what a page sets for its rehearsals, and IN_TEST, with which nbdev does nothing
        del self.shell
        gc.collect()
        gc.freeze()  # the libraries' many objects need not be looked through again; statsmodels collects at every call

    def write(self):
        notebook = read_nb(self.path)
        for cell in notebook.cells:
            if cell.cell_type == "code": cell.outputs, cell.execution_count = self.fresh.get(cell.id, []), None
        write_nb(notebook, self.path)

    def run(self, cell, exported: bool) -> list[dict]:
        "Run a cell, an exported one by taking its names from the library; returns what it shows"
        if exported:
            if not self.loaded:
                self.loaded = True
                self.shell.run(f"import replytune.{self.module} as _m\nglobals().update({{k: v for k, v in vars(_m).items() if k[:2] != '__'}})")
            outputs = []
        else: outputs = self.shell.run(cell.source)
        if self.shell.exc: raise self.shell.exc
        return without_noise(outputs)


class StaleOutput(AssertionError): pass


class NotebookTest(pytest.Item):
    def __init__(self, *, cells, skip, **more):
        super().__init__(**more)
        self.cells, self.flags = cells, skip

    def runtest(self):
        if self.flags: pytest.skip("flagged " + " ".join(sorted(self.flags)))
        if self.parent.broken: pytest.fail(f"not run: {self.parent.broken} failed before it", pytrace=False)
        for cell, exported, stored in self.cells:
            self.cell = cell
            try:
                fresh = self.parent.run(cell, exported)
                if self.config.getoption("--write-outputs"): self.parent.fresh[cell.id] = as_stored(fresh)
                elif fresh != stored: raise StaleOutput("\n".join(difflib.unified_diff(
                    json.dumps(stored, indent=1, ensure_ascii=False).splitlines(), json.dumps(fresh, indent=1, ensure_ascii=False).splitlines(), "stored", "fresh", lineterm="", n=1)))
            except StaleOutput: raise
            except BaseException:
                self.parent.broken = self.name
                raise

    def repr_failure(self, excinfo):
        if excinfo.errisinstance(pytest.fail.Exception): return str(excinfo.value)
        if excinfo.errisinstance(StaleOutput):
            return f"{self.cell.source}\n\nstored output is stale; `make refresh` stores the fresh one\n{str(excinfo.value)[:4000]}"
        return f"{self.cell.source}\n\n{''.join(traceback.format_exception(excinfo.value)[-4:])}"

    def reportinfo(self): return self.path, 0, f"{self.path.name}::{self.name}"
