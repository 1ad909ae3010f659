"""The version of code changes with what the code means and with nothing else."""
import json
import re
import subprocess
import sys

import pytest

from replytune.schema import STAGES, StageError
from replytune.files import project_root
from replytune.params import stage_module
from replytune.run import code_version

PAGES = "00d"

OVEN = """
import functools
from math import ceil
from replytune.mill import grind, FINE as coarse, COARSE as fine
BOOK = {}
heat = 220
other = 1
@functools.cache
def slices(n: int) -> str: return str(len(range(n)))
class Loaf:
    other = 2
    weight: int = other
def bread_stage(loaves=2):
    "Bake"
    other = 3
    return heat, grind(loaves) > 1, ceil(loaves), Loaf, [other for other in range(other)], BOOK, coarse, fine, slices(1)
def unused(): return 1
"""
CACHED = OVEN[OVEN.index("@functools.cache") : OVEN.index("class Loaf")]
MILL = """
FINE, COARSE = 1, 2
LEVEL = 5
def grind(loaves): return loaves * 500 + LEVEL
"""


@pytest.fixture
def version(tmp_path):
    def version(oven: str = OVEN, mill: str = MILL, **more: str) -> str:
        for name, text in {"bread": oven, "mill": mill, **more}.items(): (tmp_path / f"{name}.py").write_text(text)
        return code_version("bread", package=tmp_path)
    return version


SAME = {
    "a comment": lambda: (OVEN.replace("heat = 220", "heat = 220  # degrees"), MILL), "a docstring": lambda: (OVEN.replace("Bake", "Bake slowly"), MILL), "no docstring": lambda: (OVEN.replace('    "Bake"\n', ""), MILL),
    "brackets and lines": lambda: (OVEN.replace("return heat, grind(loaves) > 1", "return (\n        heat), grind(\n  loaves) > 1"), MILL), "how a number is written": lambda: (OVEN.replace("220", "2_20"), MILL),
    "quotation marks": lambda: (OVEN.replace('return 1', 'return "a" "b"'), MILL), "what is not reached": lambda: (OVEN.replace("return 1", "return 2"), MILL),
    "a global of the same name as a local": lambda: (OVEN.replace("other = 1\n", "other = 7\n"), MILL), "order": lambda: (OVEN.replace("BOOK = {}\nheat = 220", "heat = 220\nBOOK = {}"), MILL),
    "a move": lambda: (OVEN.replace("import grind, FINE", "import FINE") + "def grind(loaves): return loaves * 500 + LEVEL\nfrom replytune.mill import LEVEL\n", MILL.replace("def grind(loaves): return loaves * 500 + LEVEL\n", "")),
    "a decorated function moves": lambda: (OVEN.replace(CACHED, "from replytune.mill import slices\n"), MILL + "import functools\n" + CACHED), "a submodule is imported": lambda: (OVEN.replace("import functools", "import functools\nimport os\nimport os.path"), MILL),
    "another module": lambda: (OVEN.replace("replytune.mill", "replytune.flour"), MILL), "a relative import": lambda: (OVEN.replace("from replytune.mill", "from .mill"), MILL)}
OTHER = {
    "a number": lambda: (OVEN.replace("220", "221"), MILL), "an operator": lambda: (OVEN.replace("> 1", ">= 1"), MILL), "a default": lambda: (OVEN.replace("loaves=2", "loaves=3"), MILL),
    "a number elsewhere": lambda: (OVEN, MILL.replace("500", "600")), "a constant elsewhere": lambda: (OVEN, MILL.replace("LEVEL = 5", "LEVEL = 6")), "a third-party import": lambda: (OVEN.replace("import ceil", "import floor as ceil"), MILL),
    "a swap of two imports": lambda: (OVEN.replace("FINE as coarse, COARSE as fine", "COARSE as coarse, FINE as fine"), MILL.replace("FINE, COARSE = 1, 2", "FINE = 1\nCOARSE = 2")),
    "an addition": lambda: (OVEN + "heat += 1\n", MILL), "a loop": lambda: (OVEN + "for n in (1, 2): BOOK[n] = 1\n", MILL), "an item": lambda: (OVEN + "BOOK['x'] = 1\n", MILL), "a call": lambda: (OVEN + "BOOK.update(a=1)\n", MILL),
    "two targets": lambda: (OVEN + "extra, BOOK['x'] = 1, 2\n", MILL), "a condition": lambda: (OVEN + "if heat: BOOK['x'] = 2\n", MILL), "a decorator": lambda: (OVEN.replace("def bread_stage", "@functools.cache\ndef bread_stage"), MILL),
    "a registration": lambda: (OVEN + "@functools.partial(BOOK.setdefault, 'rolls')\ndef rolls(): return 5\n", MILL), "an imported constant changed": lambda: (OVEN + "coarse = coarse + 1\n", MILL), "another type": lambda: (OVEN.replace("heat = 220", "heat = 220.0"), MILL),
    "an import inside": lambda: (OVEN.replace('    "Bake"\n', '    "Bake"\n    from replytune.mill import LEVEL\n'), MILL), "a field of a class": lambda: (OVEN.replace("    other = 2", "    other = 4"), MILL)}


@pytest.mark.parametrize("change", SAME)
def test_what_means_the_same_has_the_same_version(version, change):
    oven, mill = SAME[change]()
    before = version()
    if change in ("another module",): assert version(oven, flour=mill) == before
    else: assert version(oven, mill) == before


@pytest.mark.parametrize("change", OTHER)
def test_what_means_something_else_has_another_version(version, change):
    before = version(mill=MILL.replace("FINE, COARSE = 1, 2", "FINE = 1\nCOARSE = 2")) if change.startswith("a swap") else version()
    assert version(*OTHER[change]()) != before


def test_what_an_inner_import_brings_is_followed(version):
    oven = OVEN.replace('    "Bake"\n', '    "Bake"\n    from replytune.mill import LEVEL as level\n')
    assert version(oven, MILL.replace("+ LEVEL", "")) != version(oven, MILL.replace("+ LEVEL", "").replace("LEVEL = 5", "LEVEL = 6"))


SHOP = 'SOURCES = {"mill": "replytune.mill:grind"}\ndef bread_stage(): return SOURCES\n'


def test_an_entry_point_in_a_table_is_followed_wherever_it_stands(version):
    before = version(SHOP)
    assert version(SHOP, MILL.replace("500", "600")) != before
    assert version(SHOP.replace(":grind", ":FINE")) != before
    assert version(SHOP.replace("replytune.mill", "replytune.stones"), "", stones=MILL) == before


def test_a_file_of_the_assets_counts_where_it_is_read(version, tmp_path):
    (tmp_path / "assets").mkdir()
    note = lambda text: (tmp_path / "assets/note.txt").write_text(text)
    oven = 'from replytune.mill import asset\ndef bread_stage(): return asset("note.txt")\n'
    mill = "def asset(name): return name\n"
    note("warm")
    before = version(oven, mill)
    assert version(oven, mill + "\n") == before
    note("hot")
    assert version(oven, mill) != before
    assert version(oven.replace("note.txt", "other.txt"), mill) != before


def test_an_unknown_start_is_an_error():
    with pytest.raises(StageError, match="defines no 'train_adaptor'"): code_version("train", "train_adaptor")


def test_every_process_says_the_same():
    code = f"import json; from replytune.params import stage_module; from replytune.run import code_version; print(json.dumps([code_version(stage_module(s)) for s in {STAGES!r}]))"
    said = {subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=project_root(), env={"PYTHONHASHSEED": seed, "PATH": ""}, check=True).stdout for seed in ("1", "2", "3")}
    assert len(said) == 1 and json.loads(said.pop()) == [code_version(stage_module(stage)) for stage in STAGES]


def test_our_modules_are_imported_in_the_one_form_that_is_followed():
    for path in sorted((project_root() / "replytune").glob("*.py")):
        if path.name == "_modidx.py": continue
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"^\s*(import replytune|from replytune import|from \. import|from (?:replytune)?\.?\w+ import \*)", text, flags=re.M), path.name
