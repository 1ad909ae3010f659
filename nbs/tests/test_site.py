"""What nbdev makes of the pages: all of them can be processed, and nothing else would be published."""
import json
import shutil

import pytest

from publish import process
from test_form import LETTERED
from replytune.schema import STAGES
from replytune.files import project_root

PAGES = ""
ROOT = project_root()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "project"
    folder.mkdir()
    for name in ("settings.ini", "setup.py", "README.md", "_quarto.yml"): shutil.copyfile(ROOT / name, folder / name)
    for name in ("nbs", "replytune"): shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "nbdev.yml", "sidebar.yml"))
    return folder, process(folder)


def test_every_page_is_processed_and_nothing_else_would_be_published(site):
    _, files = site
    assert files == sorted([f"{page}.ipynb" for page in (*LETTERED, *STAGES, "index")] + ["_quarto.yml", "nbdev.yml"])


def test_the_sidebar_names_pages_that_exist_and_all_of_them(site):
    import yaml
    folder, files = site
    sections = yaml.safe_load((folder / "_proc/_quarto.yml").read_text())["website"]["sidebar"]["contents"]
    named = [page for section in sections for page in section["contents"]]
    assert sorted(named) == [name for name in files if name.endswith(".ipynb")]


def test_processed_pages_hold_no_directive_and_no_exported_source(site):
    folder, files = site
    for name in files:
        if not name.endswith(".ipynb"): continue
        cells = json.loads((folder / "_proc" / name).read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        assert not [source for source in code if source.startswith(("#| export", "#| hide", "#| default_exp"))], name
