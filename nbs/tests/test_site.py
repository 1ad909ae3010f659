"""What nbdev makes of the pages: all of them can be processed, and nothing else would be published."""
import ast
import json
import os
import re
import shutil
from pathlib import Path

import pytest

from publish import process
from shape import table
from test_form import LETTERED, cells, is_exported, runs_whole
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
    blog = ["site.css", "results/report.png", "blog/index.qmd", "blog/posts/_metadata.yml", *POSTS]
    assert files == sorted([f"{page}.ipynb" for page in (*LETTERED, *STAGES, "index")] + ["_quarto.yml", "nbdev.yml"] + blog)


def test_the_sidebar_names_pages_that_exist_and_all_of_them(site):
    import yaml
    folder, files = site
    sections = yaml.safe_load((folder / "_proc/_quarto.yml").read_text())["website"]["sidebar"]["contents"]
    named = [page for section in sections for page in section["contents"]]
    assert sorted(named) == [name for name in files if name.endswith(".ipynb") and "/" not in name]


PAGE_NAMES = sorted(path.name for path in (ROOT / "nbs").glob("*.ipynb"))
POSTS = sorted(path.relative_to(ROOT / "nbs").as_posix() for path in (ROOT / "nbs/blog/posts").glob("*/index.ipynb"))


@pytest.fixture
def published(site):
    "The cells of a page as nbdev leaves them, by the page's name"
    return lambda name: [cell | {"source": "".join(cell["source"])} for cell in json.loads((site[0] / "_proc" / name).read_text(encoding="utf-8"))["cells"]]


def texts(cell: dict) -> str:
    "Everything that a reader sees of a cell"
    outputs = ["".join(text) for output in cell.get("outputs", []) for kind, text in output.get("data", {}).items() if kind.startswith("text/")]
    return "\n".join([cell["source"], *outputs])


@pytest.mark.parametrize("name", [*PAGE_NAMES, *POSTS])
def test_nothing_of_the_workings_is_left(published, name):
    for cell in published(name):
        assert not re.search(r"^:::", cell["source"], re.M), "a div that Quarto would print"
        assert "execution" not in cell["metadata"]
        left = re.findall(r"^#\|\s*(\w[\w-]*)", cell["source"], re.M)
        assert set(left) <= {"output", "echo", "code-fold", "code-summary", "label", "fig-cap"}, left
        assert not any("widget" in kind for output in cell.get("outputs", []) for kind in output.get("data", {})), "a dead widget"
        assert not re.search(r"/work/|/tmp/|/home/(?!somebody)|/root/", texts(cell)), "a path of some machine"




@pytest.mark.parametrize("name", PAGE_NAMES)
def test_a_page_is_no_wall_of_signatures(published, name):
    code = [cell for cell in published(name) if cell["cell_type"] == "code"]
    signed = [cell for cell in code if "show_doc(" in cell["source"]]
    assert 2 * len(signed) <= len(code), f"{len(signed)} signatures in {len(code)} code cells"
    for cell in signed: assert not re.search(r"\*\*data|\*args, \*\*kwa?r?g?ds?|__main__", texts(cell)), texts(cell)


@pytest.mark.parametrize("name", PAGE_NAMES)
def test_what_the_prose_names_is_on_the_page(published, name):
    "Definitions of this page, tables above all: with their source where prose points at them, not as a name alone"
    exported = [cell for cell in cells(ROOT / "nbs" / name) if cell["cell_type"] == "code" and is_exported(cell)]
    mine = {target.id for cell in exported for node in ast.parse(cell["source"]).body if isinstance(node, ast.Assign) for target in node.targets if isinstance(target, ast.Name)}
    functions = {node.name for cell in exported for node in ast.parse(cell["source"]).body if hasattr(node, "name")}
    prose = "\n".join(cell["source"] for cell in published(name) if cell["cell_type"] == "markdown")
    named = set(re.findall(r"`(\w+)(?:\(.*?\))?`", prose))
    shown = "\n".join(texts(cell) for cell in published(name) if cell["cell_type"] == "code")
    assert not [constant for constant in named & mine if not re.search(rf"^{constant}\b", shown, re.M)], "tables and constants: `#| exports`"
    assert not [function for function in named & functions if not re.search(rf"\b{function}\b", shown)]


@pytest.mark.parametrize("name", PAGE_NAMES)
def test_tables_are_shown(name):
    "A constant of more than three lines is a table, and a table is there to be read"
    for cell in cells(ROOT / "nbs" / name):
        if cell["cell_type"] != "code" or not is_exported(cell): continue
        for node in ast.parse(cell["source"]).body:
            if isinstance(node, ast.Assign) and isinstance(node.value, (ast.Dict, ast.Tuple, ast.List)) and node.end_lineno - node.lineno > 3 and not node.targets[0].id.startswith("_"):
                assert re.search(r"^#\|\s*exports", cell["source"]), f"{node.targets[0].id} is a table: `#| exports`"


@pytest.mark.parametrize("name", PAGE_NAMES)
def test_every_page_has_a_picture(name):
    outputs = [output.get("data", {}) for cell in cells(ROOT / "nbs" / name) for output in cell.get("outputs", [])]
    card = any('class="rt-' in "".join(data.get("text/html", "")) for data in outputs)  # the review's card is drawn by its style sheet
    assert card or any("image/svg+xml" in data for data in outputs)


def test_links_between_pages_lead_somewhere():
    for name in PAGE_NAMES:
        prose = "\n".join(cell["source"] for cell in cells(ROOT / "nbs" / name) if cell["cell_type"] == "markdown")
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", prose): assert (ROOT / "nbs" / target).exists(), f"{name}: {target}"
        for page in re.findall(r"`(0\d[a-z]?_[a-z0-9_]+)`", prose): assert (ROOT / f"nbs/{page}.ipynb").exists(), f"{name} names {page}"


def test_pages_that_are_named_are_linked(published):
    for name in PAGE_NAMES:
        prose = "\n".join(cell["source"] for cell in published(name) if cell["cell_type"] == "markdown")
        assert not [page for page in re.findall(r"(?<!\[)`(0\d[a-z]?_[a-z0-9_]+)`", prose) if f"{page}.ipynb" in PAGE_NAMES], name
        assert all(page in PAGE_NAMES for page in re.findall(r"\]\((\w+\.ipynb)\)", prose))
    assert "[`01b_plan`](01b_plan.ipynb)" in "\n".join(cell["source"] for cell in published("01_collect.ipynb"))


@pytest.mark.parametrize("name", PAGE_NAMES)
def test_a_definition_is_linked_to_its_own_source(published, name):
    found = re.findall(r"\[source\]\([^)]*/replytune/(\w+)\.py#L\d+\)", "\n".join(texts(cell) for cell in published(name)))
    assert set(found) <= {name[:-6].partition("_")[2]} and (found or name in ("index.ipynb",))


@pytest.mark.parametrize("name", POSTS)
def test_a_post_has_what_the_listing_needs_and_its_links_lead_somewhere(published, name):
    import yaml
    front = yaml.safe_load(published(name)[0]["source"].split("---")[1])
    assert {"title", "description", "date", "categories"} <= front.keys() and name.split("/")[2].startswith(str(front["date"]))
    prose = "\n".join(cell["source"] for cell in published(name) if cell["cell_type"] == "markdown")
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", prose): assert (ROOT / "nbs" / name).parent.joinpath(target).exists(), target
    assert not [cell["source"] for cell in cells(ROOT / "nbs" / name) if cell["cell_type"] == "code" and runs_whole(cell)]
    pictures = [output for cell in published(name) for output in cell.get("outputs", []) if "image/svg+xml" in output.get("data", {})]
    assert pictures and "pipeline check" in json.dumps(pictures), "figures of the stored run carry its label"


@pytest.fixture(scope="module")
def rendered(site):
    "The site as a renderer in pure Python makes it: no proof that Quarto would, and enough to see that nothing is lost on the way"
    from smalldocs.cli import main
    folder = site[0] / "_proc"
    assert main(["render", str(folder)]) in (None, 0)
    return folder / "_docs"


@pytest.mark.rendered
def test_the_pages_render_with_their_headings_and_pictures(rendered, published):
    from html.parser import HTMLParser

    def bare(title: str) -> str:
        title = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title)  # a link's words
        return re.sub(r"[`*_]", "", " ".join(title.translate({0x2019: "'", 0x2018: "'", 0x201C: '"', 0x201D: '"'}).split())).strip()

    class Page(HTMLParser):
        def __init__(self, text):
            super().__init__()
            self.headings, self.pictures, self.inside = [], [], None
            self.feed(text)

        def handle_starttag(self, tag, attributes):
            named = dict(attributes)
            if tag in ("h1", "h2", "h3", "h4"):
                self.inside = len(self.headings)
                self.headings.append("")
            if tag == "img": self.pictures.append(named.get("alt"))
            if tag == "svg" and named.get("role") == "img": self.pictures.append(named.get("aria-label"))

        def handle_endtag(self, tag):
            if tag in ("h1", "h2", "h3", "h4"): self.inside = None

        def handle_data(self, data):
            if self.inside is not None: self.headings[self.inside] += data

    for name in [*PAGE_NAMES, *POSTS]:
        text = (rendered / name).with_suffix(".html").read_text(encoding="utf-8")
        for target in re.findall(r'<img[^>]* src="(?!data:|https?:)([^"]+)"', text): assert (rendered / name).parent.joinpath(target).exists(), target
        page = Page(text)
        prose = "\n".join(cell["source"] for cell in published(name) if cell["cell_type"] == "markdown")
        have = {bare(each) for each in page.headings}
        lost = [title for title in map(bare, re.findall(r"^##+ (.+)$", prose, re.M)) if title not in have]
        assert not lost, f"{name}: {lost}"
        assert (page.pictures or 'class="rt-' in text) and all(page.pictures), f"{name}: a picture without words"
    listing = (rendered / "blog/index.html").read_text(encoding="utf-8")
    assert all(f"posts/{post.split('/')[2]}/" in listing for post in POSTS) and (rendered / "blog/index.xml").exists()


AXE = Path(os.environ.get("REPLYTUNE_AXE") or ROOT / "runs/.models/axe/axe.min.js")


@pytest.mark.rendered
def test_a_checker_of_accessibility_finds_nothing_serious(rendered, browser):
    if not AXE.is_file(): pytest.skip(f"no {AXE.name}: npm pack axe-core, unpack package/axe.min.js into runs/.models/axe")
    found, page = [], browser.new_page(viewport={"width": 1280, "height": 900})
    for name in [*PAGE_NAMES, *POSTS]:
        page.goto((rendered / name).with_suffix(".html").as_uri())
        page.evaluate(AXE.read_text(encoding="utf-8"))
        for fault in page.evaluate("axe.run(document.querySelector('main'))")["violations"]:
            nodes = [node["html"] for node in fault["nodes"] if "sd-table" not in node["html"]]  # a box of this renderer's own
            if fault["impact"] in ("serious", "critical") and nodes: found.append(f"{name}: {fault['id']} {nodes[0][:200]}")
    page.close()
    assert not found, "\n".join(found)


def test_the_mirror_is_fresh(site):
    assert (ROOT / "nbs/results/shape.md").read_text(encoding="utf-8") == table(ROOT, site[0] / "_proc"), "run make shape"
