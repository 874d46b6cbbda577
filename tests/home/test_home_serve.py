"""`make serve`: what it gives, to whom, and that the page follows a run; the page in Chromium."""

import http.client
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from home_world import need, scored, state, whole

from pipeline.home import page, serve
from pipeline.home.facts import Competition
from pipeline.home.page import Place

PETS = Competition("pets", "Cats and dogs", "macro_f1", True, 5)


@pytest.fixture
def home(tmp_path) -> Path:
    (tmp_path / "secret.html").write_text("secret", encoding="utf-8")
    inside = tmp_path / "home"
    return whole(inside)


@pytest.fixture
def port(home, monkeypatch) -> Iterator[int]:
    monkeypatch.setattr(serve, "FRESH_SECONDS", 0.0)
    place = Place(home, "pets")
    running = serve.server(home, lambda: page.html(place, [PETS]), 0)
    thread = threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield running.server_address[1]
    running.shutdown()
    running.server_close()
    thread.join(5)


def ask(port: int, path: str, method: str = "GET", host: str = "") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host or f"127.0.0.1:{port}")
    connection.endheaders()
    answer = connection.getresponse()
    text = answer.read().decode("utf-8", "replace")
    connection.close()
    return answer.status, text


def test_the_page_and_what_it_links_to_are_given(home, port):
    status, text = ask(port, "/reports/index.html")
    assert status == 200 and "Cats and dogs" in text
    assert ask(port, "/artifacts/error_analysis/r1/error-analysis.html") == (200, "<html>")
    assert ask(port, "/submissions/pets-ensemble-b1.csv")[0] == 200
    assert ask(port, "/")[0] == 302


REFUSED = (
    *(
        "/../secret.html",
        "/artifacts/../../secret.html",
        "/artifacts/%2e%2e/%2e%2e/secret.html",
        "/artifacts",
    ),
    *("/artifacts/..%2f..%2fsecret.html", "//secret.html", "/artifacts//../secret.html", "/etc/passwd"),
    *("/artifacts/.home.json", "/artifacts/.state/host-0.json", "/mlflow.db", "/reports/../mlflow.db"),
    *(
        "/artifacts/link.html",
        "/artifacts/linked/secret.html",
        "/artifacts/infer/i1/x.txt",
        "/artifacts/infer",
    ),
    *("/artifacts/a%00.html", "/artifacts/..\\secret.html"),
)


@pytest.mark.parametrize("path", REFUSED)
def test_nothing_else_is_given(home, port, path):
    (home / "mlflow.db").write_text("x", encoding="utf-8")
    (home / "artifacts" / "link.html").symlink_to(home.parent / "secret.html")
    (home / "artifacts" / "linked").symlink_to(home.parent, target_is_directory=True)
    status, text = ask(port, path)
    assert status == 404 and "secret" not in text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
def test_only_get_is_answered(home, port, method):
    assert ask(port, "/reports/index.html", method)[0] == 501


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "10.0.0.1", "127.0.0.1.evil.example"])
def test_a_page_elsewhere_cannot_read_it_under_its_own_name(home, port, host):
    assert ask(port, "/reports/index.html", host=host)[0] == 403


def test_a_taken_port_is_an_error_that_names_another(home, port, capsys):
    from pipeline.cli import main

    assert main(["serve", f"runtime.home={home}", f"--port={port}"]) == 2
    assert "make serve PORT=8001" in capsys.readouterr().err


def test_a_request_writes_no_page(home, port):
    ask(port, "/reports/index.html")
    assert not (home / "reports").exists()


@pytest.mark.browser
def test_the_page_follows_a_run(home, port, page):
    page.goto(f"http://127.0.0.1:{port}/")
    page.get_by_text("Cats and dogs").first.wait_for()
    page.wait_for_timeout(3500)
    now = need("fold/a1", "fold lite0 fold 0", "running", epoch=3, epochs=10)
    state(home, "train", now, status="running", pid=os.getpid())
    page.get_by_text("fold lite0 fold 0: epoch 3 of 10").wait_for(timeout=15_000)


@pytest.fixture
def opened(home, page) -> Iterator[object]:
    """The page from disk; no message, error or request."""
    from pipeline.home import page as pages

    scored(home, "infer", "o1", 9, 0.7, competition="other")
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "request", lambda request: None if request.url.startswith("file:") else faults.append(request.url)
    )
    path = pages.write(Place(home, "pets"), [PETS])
    assert path is not None
    page.goto(path.as_uri())
    yield page
    assert faults == []


@pytest.mark.browser
def test_tabs_work_with_the_keyboard_and_keep_their_place(opened):
    assert (
        opened.locator("[data-panel=pets]").is_visible() and opened.locator("[data-panel=other]").is_hidden()
    )
    opened.locator("[data-tab=pets]").focus()
    opened.keyboard.press("ArrowRight")
    assert opened.locator("[data-panel=other]").is_visible() and opened.url.endswith("#other")
    assert opened.locator("[data-tab=other]").get_attribute("aria-selected") == "true"
    opened.reload()
    assert opened.locator("[data-panel=other]").is_visible()


@pytest.mark.browser
def test_a_command_is_copied_and_a_link_leads_to_its_report_and_the_report_back(opened):
    opened.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened.locator("[data-copy]:visible").first.click()
    opened.get_by_text("Copied", exact=True).wait_for()
    opened.get_by_role("link", name="error report").first.click()
    assert opened.url.endswith("/artifacts/error_analysis/r1/error-analysis.html")


@pytest.mark.browser
@pytest.mark.parametrize("width", [375, 820])
def test_nothing_hangs_over_at_any_width(opened, width):
    opened.set_viewport_size({"width": width, "height": 800})
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
