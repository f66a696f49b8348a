"""The page of ``python -m golock web`` in a browser.

`make browser` gets the browser. With --screenshots docs the pictures of the documents are made.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

import sight_scenes
from golock.sight import LEVELS, _image, _web

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or ROOT / "build" / "chromium" / "chromium"
SHOP = Path(__file__).with_name("sight_shop.py")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
UNKNOWN = "\N{EN DASH}"
MARKUP = "<script>window.broken = 1</script><img src=x onerror='window.broken = 1'>\" & 'a"

TERMINAL = """
<style>
pre { display: inline-block; margin: 0; padding: 12px 16px; font: 13px/1.35 monospace;
    background: #1b1f26; color: #d7dce3; }
.red { color: #ff7b7b; }
.bold { font-weight: bold; }
.reverse { background: #d7dce3; color: #1b1f26; }
</style>
<pre>"""

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no chromium: make browser gets it"),
]


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="make browser installs it")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def serve():
    """Serve the page of a process."""
    servers = []

    def serve(process):
        server = _web.Server(_web.Target(process, process.reconnect))
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        servers.append((server, thread))
        return server

    yield serve
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


class Visit:
    """A page that a browser shows, and what it has asked for and complained of."""

    def __init__(self, context, address):
        self.requests, self.complaints = [], []
        self.page = page = context.new_page()
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        page.clock.install()
        page.goto(address)

    def refreshed(self):
        """Wait until the page shows a picture that it asks for from now on."""
        # One that it has asked for may be under way, and the next one follows when one is shown.
        wanted = self.pictures() + 3
        while self.pictures() < wanted:
            self.page.clock.fast_forward(1000)
            self.page.wait_for_timeout(5)

    def pictures(self):
        """Return how many pictures the page has asked for."""
        return sum(url.endswith("/picture") for url in self.requests)

    def cells(self):
        """Return the texts of the table's rows."""
        rows = self.page.locator("#locks tbody tr:not(.detail)").all()
        return [[cell.inner_text() for cell in row.locator("td").all()] for row in rows]

    def names(self):
        return [re.sub(r"\s*(possible )?deadlock$", "", row[0]) for row in self.cells()]

    def nodes(self):
        """Return where the graph's nodes are, by their labels without the times."""
        found = self.page.locator("#graph .node").evaluate_all(
            "nodes => nodes.map(node => [node.getAttribute('aria-label'),"
            " node.getAttribute('transform').match(/[\\d.]+/g).map(Number)])"
        )
        return {re.sub(r" [\d.]+ m?s\b", "", label): place for label, place in found}


@pytest.fixture
def visit(browser, serve):
    """Return what shows the page of a process, or at an address.

    It may ask for nothing elsewhere, and nothing may be said on the console.
    """
    visits = []

    def visit(process=None, *, address=None, scheme="light"):
        address = address or serve(process).address
        context = browser.new_context(viewport={"width": 1200, "height": 900}, color_scheme=scheme)
        context.set_default_timeout(60_000)
        made = Visit(context, address)
        visits.append((context, made, address))
        return made

    yield visit
    for context, made, address in visits:
        context.close()
        assert made.complaints == []
        elsewhere = [url for url in made.requests if not url.startswith(address)]
        assert elsewhere == []


@pytest.fixture
def contention(visit):
    """Show five threads that wait for one lock."""
    process = sight_scenes.Process(sight_scenes.contention())
    made = visit(process)
    made.process = process
    made.page.wait_for_selector("#state.live")
    return made


def test_the_table(contention):
    assert contention.page.inner_text("#title").startswith("Locks of process ")
    assert "python shop/app.py" in contention.page.inner_text("#command")
    assert contention.cells() == [
        ["orders", "Lock", "MainThread", "5.0 s", "5", "17.0 s"],
        ["prices", "RLock", "MainThread", "2.0 s", "0", "2.0 s"],
        ["ready", "Event", UNKNOWN, UNKNOWN, "0", "1 ms"],
    ]


def test_sorting_by_click_and_by_keyboard(contention):
    page = contention.page
    contention.process.maker.object(0x500, "Semaphore", name="boats", flags=sight_scenes.HELD)
    for thread in range(30, 40):
        contention.process.maker.wait(0x500, thread, ago=0.1)
    contention.refreshed()
    heading = page.get_by_role("columnheader", name="Name")
    page.get_by_role("button", name="Name", exact=True).click()
    assert contention.names() == ["boats", "orders", "prices", "ready"]
    assert heading.get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Enter")
    assert contention.names() == ["ready", "prices", "orders", "boats"]
    assert heading.get_attribute("aria-sort") == "descending"
    contention.refreshed()
    assert contention.names() == ["ready", "prices", "orders", "boats"]
    page.keyboard.press("Tab")
    page.keyboard.press("Space")  # by kind
    assert contention.names() == ["ready", "orders", "prices", "boats"]
    assert heading.get_attribute("aria-sort") == "none"
    page.get_by_role("button", name="Held for").click()
    assert contention.names() == ["orders", "prices", "ready", "boats"]
    page.get_by_role("button", name="Held for").click()
    assert contention.names() == ["prices", "orders", "ready", "boats"]  # the unknown comes last


def test_stacks_of_a_lock_by_click_and_by_keyboard(contention):
    page = contention.page
    row = page.get_by_role("button", name="orders", exact=True).first
    row.click()
    detail = page.locator("tr.detail")
    text = detail.inner_text()
    assert "Held by MainThread, for 5.0 s, acquired at\nmain /srv/shop/app.py:12\nload " in text
    assert "worker-4 has waited 2.6 s\nmain /srv/shop/app.py:12\nadd /srv/shop/orders.py:44" in text
    assert row.get_attribute("aria-expanded") == "true"
    page.keyboard.press("Enter")
    assert detail.count() == 0
    assert row.get_attribute("aria-expanded") == "false"
    # The order changes, and the row that has the focus moves.
    page.get_by_role("button", name="prices", exact=True).click()
    contention.process.maker.sample(1, 0, name="prices", kind="RLock", delay=60 * 10**9)
    contention.refreshed()
    assert contention.names() == ["prices", "orders", "ready"]
    assert detail.inner_text().startswith("Held by MainThread, for 2.0 s")
    assert page.evaluate("document.activeElement.textContent") == "prices"


def test_the_processes_that_hold_locks(visit):
    maker = sight_scenes.contention(1)
    for number, name in enumerate(["of a process", "in etcd", "hidden"]):
        maker.object(0x9000 + number, "etcd.Lock" if number == 1 else "process.Lock", name=name)
        maker.wait(0x9000 + number, 2, ago=1, stack=sight_scenes.at(90, "read"))
    held = _image.ACROSS_HELD
    maker.across(0x9000, name="of a process", process=12, slot=3, waiting=1, flags=held)
    maker.across(
        0x9001,
        name="in etcd",
        process=13,
        host="far",
        program="cron",
        endpoints="a:1,b:2",
        before=4,
        flags=held,
    )
    maker.across(0x9002, name="hidden", slot=5, flags=held | _image.ACROSS_ABANDONED)
    made = visit(sight_scenes.Process(maker))
    holders = {
        "of a process": "process 12 of this machine, slot 3",
        "in etcd": "process 13 (cron) of far",
        "hidden": "a process whose id is unknown here of this machine, slot 5",
    }
    for name, holder in holders.items():
        made.page.get_by_role("button", name=name, exact=True).first.click()
        assert f"Held by {holder}" in made.page.locator("tr.detail").last.inner_text()
        made.page.get_by_role("button", name=name, exact=True).first.click()
        assert made.page.get_by_role("cell", name=holder, exact=True).count() == 1
    made.page.get_by_role("button", name="in etcd", exact=True).first.click()
    text = made.page.locator("tr.detail").inner_text()
    assert "Keys of other processes before its own: 4" in text
    assert "etcd at a:1, b:2" in text


def test_waiters_at_one_stack_are_told_together(visit):
    maker = sight_scenes.contention(1)
    for number in range(12):
        maker.thread(50 + number, f"reader-{number}")
        maker.wait(0x1000, 50 + number, ago=1, stack=sight_scenes.at(90, "read"))
    made = visit(sight_scenes.Process(maker))
    made.page.locator("td .open").first.click()
    text = made.page.locator("tr.detail").inner_text()
    assert text.count("orders.py:90") == 1
    assert "12 wait: reader-0 (1.0 s), " in text
    assert text.count("reader-") == 10
    assert "2 more" in text


def test_many_locks_are_shown_when_asked_for(visit):
    maker = sight_scenes.many(24)
    made = visit(sight_scenes.Process(maker))
    more = made.page.get_by_role("button", name="Show all 28")
    more.wait_for()
    assert len(made.cells()) == 20
    more.click()
    assert len(made.cells()) == 28
    made.page.get_by_role("button", name="Show fewer").click()
    assert len(made.cells()) == 20


def test_the_graph(contention):
    page = contention.page
    assert page.get_by_role("group", name="6 threads and 1 lock").count() == 1
    assert set(contention.nodes()) == {
        "orders, Lock, held by MainThread",
        "MainThread, not waiting",
        *(f"worker-{number}, waits for orders" for number in range(5)),
    }
    assert page.locator("#graph .edge:not(.held)").count() == 5
    assert page.locator("#graph .edge.held").count() == 1
    assert page.locator("#graph .node.dead, #graph .edge.dead, #graph .word").count() == 0
    assert page.locator("#alarm").is_hidden()
    page.locator("#graph .node[role=button]").focus()
    page.keyboard.press("Enter")
    assert page.locator("tr.detail").is_visible()
    assert page.evaluate("document.activeElement.textContent") == "orders"


def test_nobody_waits(visit):
    made = visit(sight_scenes.Process(sight_scenes.contention(0)))
    made.page.get_by_text("Nobody waits.").wait_for()
    assert made.page.locator("#graph .node").count() == 0


RED = {"light": "rgb(184, 32, 42)", "dark": "rgb(255, 123, 123)"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("certain", [True, False], ids=["certain", "possible"])
def test_a_deadlock_is_marked_in_red(visit, scheme, certain):
    maker = sight_scenes.deadlock(3, certain=certain)
    page = visit(sight_scenes.Process(maker), scheme=scheme).page
    word = "deadlock" if certain else "possible deadlock"
    page.locator("#graph .word").wait_for()
    assert page.locator("#graph .word").all_text_contents() == [word]
    boxes = page.locator("#graph .node").evaluate_all(
        "nodes => nodes.map(node => [node.getAttribute('aria-label').split(',')[0],"
        " getComputedStyle(node.querySelector('.box')).stroke])"
    )
    members = {"clerk-1", "clerk-2", "goroutine 7", "lock-0", "lock-1", "lock-2"}
    assert {name for name, colour in boxes if colour == RED[scheme]} == members
    assert {name for name, _ in boxes} == {*members, "visitor"}
    # At once, because each picture has new edges.
    lines = page.evaluate(
        "() => [...document.querySelectorAll('#graph .edge')]"
        ".map(edge => getComputedStyle(edge).stroke)"
    )
    assert (lines.count(RED[scheme]), len(lines)) == (6, 7)
    alarm = page.locator("#alarm")
    assert alarm.get_attribute("role") == "alert"
    title = "Deadlock" if certain else "Possible deadlock"
    assert alarm.inner_text() == f"{title}: clerk-1, clerk-2, goroutine 7."
    text = page.locator("#deadlocks").inner_text()
    assert text.startswith(f"{title} of 3 threads\n")
    assert "goroutine 7 has waited 8.0 s for lock-0, which clerk-1 holds:" in text
    marks = page.locator("tr.dead .mark").all_inner_texts()
    assert marks == [word] * 3


def test_what_stays_does_not_move(visit):
    process = sight_scenes.Process(sight_scenes.many(12))
    made = visit(process)
    made.page.locator("#graph .node").first.wait_for()
    before = made.nodes()
    waits = process.maker.entries[sight_scenes.WAITS]
    waits[4:] = waits[:3:-1]
    made.refreshed()
    assert made.nodes() == before
    process.maker.thread(900, "late")
    process.maker.wait(0x9000, 900, ago=1)
    made.refreshed()
    after = made.nodes()
    _, top = after["late, waits for connections"]
    above = {label for label, (_, y) in before.items() if y < top}
    assert {"clerk-1, waits for lock-1, deadlock", "client-5, waits for connections"} < above
    assert {label: after[label] for label in above} == {label: before[label] for label in above}


LAYOUTS = """
async ([count, width]) => {
  const { layOut } = await import("./layout.js");
  let state = count;
  const random = (below) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return Math.floor(state / 65536) % below;
  };
  const locks = Math.max(1, count >> 1);
  const nodes = [];
  for (let n = 0; n < count; n++) nodes.push({ id: n < locks ? `l${n}` : `t${n}` });
  const edges = new Set();
  const threads = nodes.slice(locks).map(({ id }) => id);
  for (const id of threads) if (random(3)) edges.add(`${id} l${random(locks)}`);
  for (let n = 0; n < locks; n++) {
    if (!threads.length) continue;
    for (let holders = random(4) ? 1 : random(4); holders > 0; holders--) {
      edges.add(`l${n} ${threads[random(threads.length)]}`);
    }
  }
  const pairs = [...edges].map((edge) => edge.split(" ")).map(([from, to]) => ({ from, to }));
  const seen = new Map(nodes.map(({ id }, index) => [id, index]));
  const { places, nodeWidth, nodeHeight, ...size } = layOut(nodes, pairs, seen, width);
  return { nodes: nodes.map(({ id }) => places.get(id)), nodeWidth, nodeHeight, size };
}
"""


@pytest.mark.parametrize("width", [340, 800])
def test_nodes_do_not_overlap(contention, width):
    for count in range(1, 61):
        drawn = contention.page.evaluate(LAYOUTS, [count, width])
        places = drawn["nodes"]
        assert len(places) == count
        for index, one in enumerate(places):
            assert one["x"] >= 0
            assert one["y"] >= 0
            assert one["x"] + drawn["nodeWidth"] <= drawn["size"]["width"]
            assert one["y"] + drawn["nodeHeight"] <= drawn["size"]["height"]
            for other in places[:index]:
                assert (
                    abs(one["x"] - other["x"]) >= drawn["nodeWidth"]
                    or abs(one["y"] - other["y"]) >= drawn["nodeHeight"]
                ), (count, one, other)


def test_the_graph_leaves_out_most_of_a_crowd(visit):
    maker = sight_scenes.contention(300)
    page = visit(sight_scenes.Process(maker)).page
    page.locator("#graph .node").first.wait_for()
    assert page.locator("#graph .node").count() == 7
    assert page.locator("#graph .more text").first.text_content() == "296 more"


def test_the_flame_graph(contention):
    page = contention.page
    tree = page.get_by_role("tree", name="Time spent waiting")

    def bars():
        return tree.get_by_role("treeitem").evaluate_all(
            "bars => bars.map(bar => [bar.textContent, Math.round(parseFloat(bar.style.width))])"
        )

    whole = [
        ["all waits, 5.0 s", 100],
        ["main", 100],
        ["add", 60],
        ["orders", 60],
        ["remove", 40],
        ["prices", 40],
    ]
    assert bars() == whole
    bar = tree.get_by_text("remove")
    bar.hover()
    tooltip = page.get_by_role("tooltip")
    assert tooltip.inner_text() == "remove\n/srv/shop/orders.py:40\n2.0 s in 12 waits"
    bar.click()
    zoomed = [["all waits, 5.0 s", 100], ["main", 100], ["remove", 100], ["prices", 100]]
    assert bars() == zoomed
    contention.refreshed()
    assert bars() == zoomed
    tree.get_by_text("main").click()
    assert bars() == whole
    page.mouse.move(0, 0)
    assert tooltip.is_hidden()


def test_the_flame_graph_by_keyboard(contention):
    page = contention.page
    bars = page.get_by_role("treeitem")
    page.locator("#all-kinds").focus()
    keys = ["Tab", "ArrowDown", "ArrowDown", "ArrowRight"]
    texts = ["all waits, 5.0 s", "main", "add", "remove"]
    for key, text in zip(keys, texts, strict=True):
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.textContent") == text
    assert "2.0 s in 12 waits" in page.get_by_role("tooltip").inner_text()
    assert (
        page.evaluate("document.activeElement.getAttribute('aria-label')")
        == "remove, /srv/shop/orders.py:40, 2.0 s in 12 waits"
    )
    page.keyboard.press("Enter")
    assert bars.all_inner_texts() == ["all waits, 5.0 s", "main", "remove", "prices"]
    contention.refreshed()
    assert page.evaluate("document.activeElement.textContent") == "remove"
    page.keyboard.press("Escape")
    assert bars.count() == 6


def test_waits_that_are_no_contention_are_added_when_asked_for(contention):
    page = contention.page
    page.get_by_role("treeitem", name="all waits").hover()
    assert "5.0 s in 24 waits" in page.get_by_role("tooltip").inner_text()
    page.get_by_label("Also waits for events").check()
    page.get_by_role("treeitem", name="all waits").hover()
    assert "5.0 s in 25 waits" in page.get_by_role("tooltip").inner_text()


def test_the_level(contention):
    page = contention.page
    level = page.get_by_label("Level")
    assert level.input_value() == "owners"
    assert level.locator("option").all_inner_texts() == [*LEVELS]
    with page.expect_response("**/level"):
        level.select_option("waits")
    assert contention.process.levels == [LEVELS.index("waits")]
    contention.process.maker.level = LEVELS.index("order")  # by another client
    contention.refreshed()
    assert level.input_value() == "order"


def test_a_level_that_is_refused(contention):
    page = contention.page
    contention.process.problem = "process 1 refuses: Operation not permitted"
    with page.expect_response("**/level"):  # a picture of the process has the problem too
        page.get_by_label("Level").select_option("off")
    page.get_by_text("Process 1 refuses: Operation not permitted.").wait_for()
    contention.process.problem = ""
    contention.refreshed()
    assert page.get_by_label("Level").input_value() == "owners"
    assert page.locator("#notice").is_hidden()


def test_pause(contention):
    page = contention.page
    contention.refreshed()
    pause = page.get_by_role("button", name="Pause")
    pause.click()
    assert page.inner_text("#state") == "Paused"
    assert pause.get_attribute("aria-pressed") == "true"
    contention.process.maker = sight_scenes.contention(2)
    page.wait_for_load_state("networkidle")
    asked = len(contention.requests)
    page.clock.fast_forward(10_000)
    page.wait_for_load_state("networkidle")
    assert contention.requests[asked:] == []
    assert contention.cells()[0][4] == "5"
    pause.click()
    contention.refreshed()
    assert page.inner_text("#state") == "Live"
    assert contention.cells()[0][4] == "2"


def test_names_are_no_markup(visit):
    maker = sight_scenes.deadlock(2)
    maker.texts = [text and MARKUP for text in maker.texts]
    maker.order(1, ("Lock", MARKUP, None), ("Lock", MARKUP, None), who=MARKUP)
    stack = ((MARKUP, 1, MARKUP),)
    maker.sample(1, 0, name=MARKUP, stack=stack, delay=10**9, thread_name=MARKUP)
    process = sight_scenes.Process(maker)
    process.hello = lambda: {"command": MARKUP}
    made = visit(process)
    page = made.page
    page.locator("#graph .node").first.wait_for()
    page.locator("td .open").first.click()
    page.get_by_role("treeitem", name="<script>").first.hover()
    made.refreshed()
    text = page.locator("body").inner_text()
    assert text.count("<script>window.broken = 1</script><img") > 12
    assert page.evaluate("window.broken") is None
    assert page.locator("body img, body script").count() == 0
    titles = page.locator("#graph title").all_text_contents()
    assert any(title.startswith("<script>") for title in titles)


def test_a_page_without_the_token_is_refused(browser, serve):
    server = serve(sight_scenes.Process(sight_scenes.contention()))
    page = browser.new_page()
    for path in ["/", f"/{server.token}x/", f"/{server.token[::-1]}/picture"]:
        answer = page.goto(f"http://127.0.0.1:{server.server_port}{path}")
        assert answer.status == 403
        assert page.locator("body").inner_text().strip() == "Forbidden"
    page.close()


def test_another_site_cannot_read_the_picture(browser, serve):
    """Not even one that knows the token."""
    target, other = (serve(sight_scenes.Process(sight_scenes.contention())) for _ in range(2))
    page = browser.new_page(bypass_csp=True)
    page.goto(other.address)
    outcome = page.evaluate(
        "address => fetch(address).then(() => 'read', () => 'refused')", f"{target.address}picture"
    )
    assert outcome == "refused"
    outcome = page.evaluate(
        "address => fetch(address, { method: 'POST', body: 'off', mode: 'no-cors' })"
        ".then(() => 'sent', () => 'refused')",
        f"{target.address}level",
    )
    assert target.target.picture()["snapshot"]["level"] == "owners"
    page.close()


def test_a_process_that_does_not_answer_for_a_while(contention):
    page = contention.page
    before = contention.cells()
    contention.process.problem = "process 1 does not answer within 5 s"
    page.get_by_text("Process 1 does not answer within 5 s.").wait_for()
    assert contention.cells() == before
    contention.process.problem = ""
    page.locator("#notice").wait_for(state="hidden")
    assert page.inner_text("#state") == "Live"


def test_a_process_that_has_ended(contention, monkeypatch):
    page = contention.page
    before = contention.cells(), contention.nodes()
    monkeypatch.setattr(_web, "is_running", lambda process: False)
    contention.process.problem = "broken"
    page.get_by_text(re.compile(r"^Process \d+ has ended. This is the last picture.$")).wait_for()
    assert page.inner_text("#state") == "Ended"
    assert (contention.cells(), contention.nodes()) == before
    assert page.get_by_label("Level").is_disabled()
    page.reload()
    page.locator("#state.ended").wait_for()
    assert (contention.cells(), contention.nodes()) == before
    page.locator("td .open").first.click()
    assert page.locator("tr.detail").is_visible()


def test_a_command_that_has_ended(contention):
    page = contention.page
    page.route("**/picture", lambda route: route.abort())
    page.get_by_text("The command that serves this page has ended.").wait_for()
    assert len(contention.cells()) == 3
    assert page.inner_text("#state") == "Ended"
    assert contention.complaints == ["Failed to load resource: net::ERR_FAILED"]
    contention.complaints.clear()


def with_long_names():
    maker = sight_scenes.many()
    maker.texts = [text and text + "_and_so_on" * 24 for text in maker.texts]
    return maker


SCENES = {
    "contention": sight_scenes.contention,
    "deadlock": lambda: sight_scenes.deadlock(5),
    "many locks": sight_scenes.many,
    "long names": with_long_names,
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("scene", SCENES)
def test_widths_and_accessibility(visit, scene, scheme):
    """The page does not scroll sideways, and axe finds nothing to complain of."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = visit(sight_scenes.Process(SCENES[scene]()), scheme=scheme).page
    page.locator("#graph .node").first.wait_for()
    page.locator("td .open").first.click()
    page.mouse.move(0, 0)
    for width in 400, 1600:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") == width
        cut = page.locator("#locks td").evaluate_all(
            "cells => cells.filter(cell => cell.scrollWidth > cell.clientWidth + 1)"
            ".map(cell => cell.textContent)"
        )
        assert cut == []
        found = axe.Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


@pytest.fixture
def shop(monkeypatch):
    """Start a program whose threads contend and deadlock, and the command that shows it."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        monkeypatch.setenv("GOLOCK_SIGHT", "owners")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        # The page shows the command, and the documents show the page.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        options = {"cwd": SHOP.parent, "env": {**os.environ, "PATH": path}, "text": True, **pipes}
        with subprocess.Popen(["python", SHOP.name], **options) as program:
            assert program.stdout.readline() == "ready\n"
            web = [sys.executable, "-m", "golock", "web", str(program.pid), "--no-browser"]
            with subprocess.Popen(web, text=True, **pipes) as command:
                yield Shop(program, command, command.stdout.readline().split()[-1])
                command.send_signal(signal.SIGINT)
                assert command.wait(60) == 0
            program.kill()


@dataclass
class Shop:
    program: subprocess.Popen[str]
    command: subprocess.Popen[str]
    address: str


@pytest.fixture
def shown(shop, visit):
    """Show the program; the page is closed before the command ends."""
    made = visit(address=shop.address)
    made.page.locator("#graph .word").wait_for()
    return made


def test_a_process_that_contends_and_deadlocks(shown):
    page = shown.page
    nodes = shown.nodes()
    assert {
        "clerk, waits for journal, deadlock",
        "journal, Lock, held by auditor, deadlock",
        "auditor, waits for accounts, deadlock",
        "accounts, Lock, held by clerk, deadlock",
        "cashier, waits for accounts",
    } < set(nodes)
    assert re.fullmatch("Deadlock: (clerk, auditor|auditor, clerk).", page.inner_text("#alarm"))
    assert page.inner_text("#command").startswith("python sight_shop.py")

    rows = {row[0].removesuffix("deadlock").strip(): row[1:] for row in shown.cells()}
    assert [rows[name][0] for name in ("accounts", "orders", "prices", "connections")] == [
        "Lock",
        "Lock",
        "RLock",
        "Semaphore",
    ]
    assert rows["journal"][1::2] == ["auditor", "1"]
    page.get_by_role("button", name="accounts", exact=True).first.click()
    text = page.locator("tr.detail").inner_text()
    for part in "Held by clerk, for", "cashier has waited", "auditor has waited", "\nlook_up /":
        assert part in text

    tree = page.get_by_role("tree")
    for text in "sell", "restock", "update_price", "orders":
        tree.get_by_role("treeitem", name=f"{text}, ").first.wait_for()
    tree.get_by_role("treeitem", name="restock, ").first.hover()
    tooltip = page.get_by_role("tooltip").inner_text()
    assert re.search(r"^restock\n/.+/sight_shop.py(:\d+)?\n[\d.]+ m?s in \d+ waits?$", tooltip)


def test_the_level_of_a_process(shown, shop):
    page = shown.page
    level = page.get_by_label("Level")
    assert level.input_value() == "owners"
    with page.expect_response("**/level"):
        level.select_option("waits")
    dump = [sys.executable, "-m", "golock", "dump", str(shop.program.pid), "--json"]
    shown = subprocess.run(dump, stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    assert json.loads(shown.stdout)["level"] == "waits"


def test_a_process_that_ends(shown, shop):
    page = shown.page
    shop.program.kill()
    shop.program.wait(60)
    ended = f"Process {shop.program.pid} has ended. This is the last picture."
    page.get_by_text(ended).wait_for()
    assert {row[0].removesuffix("deadlock").strip() for row in shown.cells()} > {"accounts"}
    assert page.locator("#graph .node.dead").count() == 4
    page.reload()
    page.get_by_text(ended).wait_for()
    assert page.locator("#graph .node.dead").count() == 4


@pytest.fixture
def keep(pytestconfig, tmp_path):
    """Return where to write a picture; it must be small."""
    folder = pytestconfig.getoption("--screenshots") or tmp_path
    written = []

    def keep(name):
        written.append(folder / name)
        return written[-1]

    yield keep
    for path in written:
        assert 5_000 < path.stat().st_size < 150_000


def test_picture_of_the_page(shown, keep):
    page = shown.page
    page.set_viewport_size({"width": 1440, "height": 1000})
    page.locator("#deadlocks summary").click()  # the text is closed
    page.screenshot(path=keep("sight-web.png"), full_page=True)


def test_picture_of_top(browser, shop, keep):
    terminal = pytest.importorskip("sight_terminal")  # which needs pyte
    command = [sys.executable, "-m", "golock", "top", str(shop.program.pid)]
    with terminal.Terminal(command, width=100, height=12, COLUMNS="100") as top:
        top.until("connections")
        lines = [
            "".join(
                f'<span class="{cell.fg}{" bold" * cell.bold}{" reverse" * cell.reverse}">'
                f"{html.escape(cell.data)}</span>"
                for cell in (top.screen.buffer[row][column] for column in range(100))
            )
            for row in range(12)
        ]
    page = browser.new_page(viewport={"width": 900, "height": 600})
    page.set_content(TERMINAL + "\n".join(lines) + "</pre>")
    page.locator("pre").screenshot(path=keep("sight-top.png"))
    page.close()
