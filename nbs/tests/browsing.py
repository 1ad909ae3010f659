"""A real Chromium, and a real JupyterLab with one notebook in it."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
READY = "() => { const kernel = window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel; return kernel && kernel.connectionStatus === 'connected' && kernel.status === 'idle'; }"


@contextmanager
def chromium():
    "A headless browser; without one the test is skipped, or fails where one is required"
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("REPLYTUNE_REQUIRE_BROWSER"): pytest.fail("no chromium, though this machine must have one: apt-get install chromium")
        pytest.skip("no chromium on this machine (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield browser
        browser.close()


class Lab:
    "JupyterLab on loopback, serving `folder`; settings and workspaces are its own"

    def __init__(self, folder: Path):
        self.folder, self.port = folder, free_port()
        places = {name: folder / ".jupyter" / name for name in ("JUPYTER_CONFIG_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR", "JUPYTER_RUNTIME_DIR")}
        chosen = places["JUPYTERLAB_SETTINGS_DIR"] / "@jupyterlab/apputils-extension"
        chosen.mkdir(parents=True)
        (chosen / "notification.jupyterlab-settings").write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
        options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={self.port}", "--IdentityProvider.token=localtest", f"--ServerApp.root_dir={folder}",
                   "--LabApp.expose_app_in_browser=True", "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate",
                   "--LabApp.extension_manager=readonly", "--ServerApp.terminals_enabled=False"]
        with open(folder / ".jupyter/lab.log", "w") as log:
            self.server = subprocess.Popen([sys.executable, "-m", "jupyter", "lab", *options], env=os.environ | {name: str(path) for name, path in places.items()}, stdout=log, stderr=log)
        self.address = f"http://127.0.0.1:{self.port}"
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{self.address}/api/status?token=localtest", timeout=2)
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError((folder / ".jupyter/lab.log").read_text())

    def open(self, browser, notebook: str, width: int = 1280, height: int = 900, run: bool = True, theme: str = "JupyterLab Light"):
        "A page with the notebook in a theme, its kernel at hand and, unless `run` is false, its cells run"
        page = browser.new_page(viewport={"width": width, "height": height})
        page.goto(f"{self.address}/lab/tree/{notebook}?token=localtest&reset", wait_until="domcontentloaded")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        page.evaluate("""async () => { const app = window.jupyterapp; await app.restored; const shown = app.shell.currentWidget;
            await shown.context.ready; await shown.sessionContext.ready; await shown.sessionContext.session.kernel.info; }""")
        page.wait_for_function(READY, timeout=60_000)
        page.evaluate("() => { const app = window.jupyterapp; if (app.shell.leftCollapsed === false) app.commands.execute('application:toggle-left-area'); }")
        page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", theme)
        page.wait_for_function("theme => document.body.dataset.jpThemeName === theme", arg=theme)
        if run: page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
        return page

    def kernel_processes(self) -> list[int]:
        "The kernels that this server started"
        children = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(self.server.pid)], capture_output=True, text=True).stdout.splitlines()
        return [int(line.split()[0]) for line in children if "ipykernel" in line]

    def kill_kernel(self):
        "kill -9, as a machine out of memory does"
        for process in self.kernel_processes(): os.kill(process, signal.SIGKILL)

    def rest(self):
        "No notebook has a kernel any more"
        ask = lambda what, method: urllib.request.urlopen(urllib.request.Request(f"{self.address}/api/{what}?token=localtest", method=method), timeout=20).read()
        for session in json.loads(ask("sessions", "GET")): ask(f"sessions/{session['id']}", "DELETE")

    def close(self):
        self.server.terminate()
        self.server.wait(20)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def write_notebook(path: Path, *cells: str):
    "A notebook with these code cells"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata={"kernelspec": {"name": "python3", "display_name": "python3", "language": "python"}}), path)
