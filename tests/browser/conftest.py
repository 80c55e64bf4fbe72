"""A Chromium that reaches loopback only, the rendered book on a loopback server, and a JupyterLab on another one."""

import contextlib
import functools
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, Route, expect, sync_playwright

ROOT = Path(__file__).parents[2]
HTML = ROOT / "_build" / "html"
HANG = 120_000  # ms, which only a page that hangs is waited for
expect.set_options(timeout=HANG)
FLAGS = [
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Visit:
    """What went wrong while a page was open; every list must stay empty."""

    page: Page
    outside: list[str] = field(default_factory=list)  # requests beyond this machine: blocked, and counted
    failed: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.route("**/*", self._route)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._response)

    def _route(self, route: Route) -> None:
        url = urlsplit(route.request.url)
        if url.scheme in {"file", "data", "blob"} or url.hostname == "127.0.0.1":
            route.continue_()
        else:
            self.outside.append(route.request.url)
            route.abort()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _failed(self, request: Request) -> None:
        self.failed.append(f"{request.url}: {request.failure}")

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self.failed.append(f"{response.url}: {response.status}")

    def draw_widgets(self) -> None:
        """Draw the widgets that wait for their reader to come near, as before printing."""
        self.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        self.page.wait_for_function("!document.querySelector('.widget-static:empty')")

    def assert_clean(self) -> None:
        assert not self.outside, f"requests beyond this machine: {self.outside}"
        assert not self.failed, f"failed requests: {self.failed}"
        assert not self.errors, f"errors in the console: {self.errors}"


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """A file server that does not print each request."""

    def log_message(self, format: str, *args: object) -> None:
        pass


class ChangingHandler(QuietHandler):
    """For a folder in which a test writes a page again: "not modified" knows whole seconds, and would show the one before."""

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        super().end_headers()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = subprocess.run([Path(__file__).with_name("chromium.sh")], cwd=ROOT, capture_output=True, text=True)
    if found.returncode:
        pytest.skip(found.stderr.strip())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found.stdout.strip(), args=FLAGS)
        yield browser
        browser.close()


@contextlib.contextmanager
def fresh_page(browser: Browser, **options: object) -> Iterator[Visit]:
    """A page of its own, 1280 px wide, that records what it should not do; ``options`` are those of a browser's context."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, **options)
    context.set_default_timeout(HANG)
    yield Visit(context.new_page())
    context.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """A fresh page."""
    with fresh_page(browser) as visit:
        yield visit


def serve(folder: Path, handler: type[QuietHandler] = QuietHandler) -> Iterator[str]:
    """Serve a folder on a free loopback port while the generator is suspended; yields the address."""
    made = functools.partial(handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), made) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def book() -> Iterator[str]:
    """Address of the rendered book."""
    if not (HTML / "index.html").is_file():
        pytest.skip("the book is not rendered: make book")
    yield from serve(HTML)


@pytest.fixture
def folder_server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """An empty folder and the address that serves it."""
    for address in serve(tmp_path, ChangingHandler):
        yield tmp_path, address


@contextlib.contextmanager
def jupyterlab(root: Path, own: Path, dark: bool = False) -> Iterator[str]:
    """Address of a JupyterLab in the folder ``root``, stopped at the end; its settings and its log are in ``own``."""
    (own / "runtime").mkdir(parents=True)
    settings = own / "config" / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension" / "themes.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"theme": "JupyterLab Dark" if dark else "JupyterLab Light"}))
    folders = {f"JUPYTER_{kind.upper()}_DIR": str(own / kind) for kind in ("config", "data", "runtime")}
    environment = os.environ | folders | {"IPYTHONDIR": str(own / "ipython"), "JUPYTER_PREFER_ENV_PATH": "1"}
    options = [
        "--no-browser",
        "--ServerApp.allow_root=True",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.root_dir={root}",
        "--IdentityProvider.token=",
        "--LabApp.news_url=",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
        "--MappingKernelManager.cull_idle_timeout=300",  # it ends by itself if nobody is left to end it
        "--ServerApp.shutdown_no_activity_timeout=300",
    ]
    with (own / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield _address(server, own)
    finally:
        for end in (signal.SIGTERM, signal.SIGKILL):  # the first one lets it stop its kernels
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, end)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(20)
                break


def _address(server: subprocess.Popen, own: Path, seconds: float = 120) -> str:
    """Where the server listens: it takes the next free port itself, and writes down which, once it is ready."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        for written in (own / "runtime").glob("jpserver-*.json"):
            with contextlib.suppress(json.JSONDecodeError):  # half written
                return f"http://127.0.0.1:{json.loads(written.read_text())['port']}"
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start in {seconds:.0f} s: {(own / 'log').read_text()[-2000:]}")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """An empty folder and the address of a JupyterLab in it."""
    (tmp_path / "notebooks").mkdir()
    with jupyterlab(tmp_path / "notebooks", tmp_path / "own") as address:
        yield tmp_path / "notebooks", address
