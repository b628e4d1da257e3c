"""The page in a real browser: the same numbers as the library, edits that can be read back, and nothing that runs."""

import json

import numpy as np
import pandas as pd
import pytest
from chromium import Chromium, find_chromium

from knobo.bank import ConceptBank
from knobo.heads import ForceSign, Pin, Veto, read_edits
from knobo.reporting import write_report

pytestmark = [
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium is installed, such as Debian's package chromium"),
    pytest.mark.xdist_group("chromium"),
]

OPEN_ALL = """new Promise(done => { document.querySelectorAll('details').forEach(one => { one.open = true; });
  setTimeout(() => done(document.querySelectorAll('.what-if-row').length), 50); })"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    running = Chromium(tmp_path_factory.mktemp("chromium"))
    yield running
    running.close()


@pytest.fixture
def shown(browser, fake, cases, tmp_path):
    """The page of three classes in the browser, all panels open, and the explanation of its cases."""
    path = write_report(fake, *cases, tmp_path / "report.html", max_cases=3)
    browser.open(path)
    browser.run(OPEN_ALL)
    return fake.explain(cases[0])


def case_numbers(browser):
    return browser.run("[...document.querySelectorAll('[data-case]')].map(one => Number(one.dataset.case))")


def set_value(browser, case, concept, value, kind="number"):
    browser.run(f"""(() => {{
      const row = document.querySelector('[data-case="{case}"] [data-control="{concept}"]');
      const input = row.querySelector('input[type={kind}]');
      input.value = '{value!r}';
      input.dispatchEvent(new Event('input', {{ bubbles: true }}));
    }})()""")


def click(browser, case, concept, text):
    label = f'[data-case="{case}"] [data-control="{concept}"] button'
    browser.run(f"[...document.querySelectorAll('{label}')].find(one => one.textContent === '{text}').click()")


def probabilities(browser, case):
    rows = f"document.querySelectorAll('[data-case=\"{case}\"] [data-class]')"
    return np.array(browser.run(f"[...{rows}].map(row => Number(row.dataset.value))"))


def contributions(browser, case):
    rows = f"document.querySelectorAll('[data-case=\"{case}\"] [data-control]')"
    pairs = f"[...{rows}].map(row => [row.dataset.control, Number(row.querySelector('output').dataset.value)])"
    return dict(browser.run(pairs))


def test_the_browser_gives_the_numbers_of_intervene(browser, shown):
    for case in case_numbers(browser):
        one = shown[case - 1]
        np.testing.assert_allclose(probabilities(browser, case), one.probabilities[0], rtol=0, atol=1e-12)
        set_value(browser, case, "cardiomegaly", 0.123456789)
        click(browser, case, "consolidation", "present")
        click(browser, case, "pleural-effusion", "absent")
        changed = one.intervene({"cardiomegaly": 0.123456789, "consolidation": 1.0, "pleural-effusion": 0.0})
        np.testing.assert_allclose(probabilities(browser, case), changed.probabilities[0], rtol=0, atol=1e-12)
        k = int(one.logits[0].argmax())
        for concept, value in contributions(browser, case).items():
            assert value == pytest.approx(changed.contributions[0, k, changed.bank.ids.index(concept)], abs=1e-12)
        click(browser, case, "cardiomegaly", "as read")
        back = one.intervene({"consolidation": 1.0, "pleural-effusion": 0.0})
        np.testing.assert_allclose(probabilities(browser, case), back.probabilities[0], rtol=0, atol=1e-12)
    assert browser.complaints() == []


def test_the_table_of_the_case_follows(browser, shown):
    case = case_numbers(browser)[0]
    concept = next(iter(contributions(browser, case)))
    j = shown.bank.ids.index(concept)
    click(browser, case, concept, "absent")
    changed = shown[case - 1].intervene({concept: 0.0})
    k = int(shown[case - 1].logits[0].argmax())
    cell = f'document.querySelector(\'[data-case="{case}"] [data-concept="{j}"] .contribution\').textContent'
    assert float(browser.run(cell).replace("−", "-")) == pytest.approx(changed.contributions[0, k, j], abs=0.0051)
    logit = f"document.querySelector('[data-case=\"{case}\"] [data-logit] .contribution').textContent"
    assert float(browser.run(logit).replace("−", "-")) == pytest.approx(changed.logits[0, k], abs=0.0051)
    said = browser.run(f"document.querySelector('[data-case=\"{case}\"] .status').textContent")
    assert "With 1 finding changed" in said


def test_two_classes_and_out_of_range_values(browser, fake_of_two, cases, tmp_path):
    images, _ = cases
    path = write_report(fake_of_two, images, np.arange(30) % 2, tmp_path / "two.html", max_cases=2)
    browser.open(path)
    browser.run(OPEN_ALL)
    case = case_numbers(browser)[0]
    one = fake_of_two.explain(images)[case - 1]
    set_value(browser, case, "consolidation", 0.5, kind="range")
    changed = one.intervene({"consolidation": 0.5})
    np.testing.assert_allclose(probabilities(browser, case), changed.probabilities[0], rtol=0, atol=1e-12)
    set_value(browser, case, "consolidation", 1.5)  # refused: no activation
    np.testing.assert_allclose(probabilities(browser, case), changed.probabilities[0], rtol=0, atol=1e-12)


def test_the_keyboard_reaches_every_control_and_all_have_names(browser, shown):
    names = browser.run("""[...document.querySelectorAll('button, input, select, textarea, summary, img')].map(one =>
      one.getAttribute('aria-label') || [...(one.labels ?? [])].map(label => label.textContent).join('') ||
      one.getAttribute('alt') || one.textContent)""")
    assert all(name.strip() for name in names)
    case = case_numbers(browser)[0]
    concept = next(iter(contributions(browser, case)))
    browser.run(f'document.querySelector(\'[data-case="{case}"] [data-control="{concept}"] button\').focus()')
    browser.press("Enter", 13)
    changed = shown[case - 1].intervene({concept: 0.0})
    np.testing.assert_allclose(probabilities(browser, case), changed.probabilities[0], rtol=0, atol=1e-12)
    for _ in range(3):  # present, as read, the slider
        browser.press("Tab", 9)
    assert browser.run("document.activeElement.type") == "range"
    browser.press("ArrowRight", 39)
    changed = shown[case - 1].intervene({concept: 0.01})
    np.testing.assert_allclose(probabilities(browser, case), changed.probabilities[0], rtol=0, atol=1e-12)


def save(browser):
    for old in browser.downloads.glob("*.json"):
        old.unlink()
    browser.run("document.getElementById('edit-save').click()")
    browser.wait(lambda: list(browser.downloads.glob("*.json")), "the saved file")
    return next(browser.downloads.glob("*.json"))


def test_edits_and_notes_are_saved_and_loaded(browser, fake_of_two, cases, tmp_path):
    images, _ = cases
    page = write_report(fake_of_two, images, np.arange(30) % 2, tmp_path / "two.html", max_cases=2)
    browser.open(page)
    browser.run(OPEN_ALL)
    case = case_numbers(browser)[0]
    fill = "const put = (id, value) => { const one = document.getElementById(id); one.value = value;"
    fill += " one.dispatchEvent(new Event('change')); one.dispatchEvent(new Event('input')); };"
    browser.run(f"(() => {{ {fill} put('edit-concept', 'consolidation'); put('edit-kind', 'force_sign:-1');"
                " put('edit-class', '1'); put('edit-why', 'lobar <b>only</b>');"
                " document.getElementById('edit-add').click();"
                " put('edit-concept', 'nodule'); put('edit-kind', 'pin'); put('edit-weight', '0.25');"
                " put('edit-why', '');"
                " document.getElementById('edit-add').click();"
                " put('edit-kind', 'veto'); put('edit-class', ''); document.getElementById('edit-add').click();"
                f" put('reviewer', 'A. Reader'); put('note-{case}', 'Rotated film.'); }})()")  # fmt: skip
    click(browser, case, "consolidation", "absent")
    saved = save(browser)
    document = json.loads(saved.read_text(encoding="utf-8"))
    assert (document["format"], document["format_version"]) == ("knobo.edits", 1)
    when = document["edits"][0]["when"]
    signed = {"who": "A. Reader", "when": when}
    assert document["edits"] == [
        {"edit": "force_sign", "concept": "consolidation", "class_name": 1, "sign": -1, "why": "lobar <b>only</b>"}
        | signed,
        {"edit": "pin", "concept": "nodule", "class_name": 1, "value": 0.25} | signed,
        {"edit": "veto", "concept": "nodule"} | signed,
    ]
    assert document["review"]["cases"] == [{"case": case, "note": "Rotated film.", "values": {"consolidation": 0}}]
    listed = browser.run("[...document.querySelectorAll('#edit-list li')].map(one => one.firstChild.textContent)")
    assert listed[0].strip() == "consolidation may only speak against 1 (lobar <b>only</b>)"

    assert read_edits(saved) == [
        ForceSign("consolidation", 1, -1, why="lobar <b>only</b>", **signed),
        Pin("nodule", 1, 0.25, **signed),
        Veto("nodule", **signed),
    ]

    kept = tmp_path / "kept.json"
    kept.write_text(saved.read_text(encoding="utf-8"), encoding="utf-8")
    browser.open(page)
    browser.run(OPEN_ALL)
    browser.upload("#edit-load", kept)
    browser.wait(
        lambda: "Loaded 3 edits" in browser.run("document.getElementById('edit-status').textContent"), "loading"
    )
    again = json.loads(save(browser).read_text(encoding="utf-8"))
    assert again == document


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no json", "That file was not loaded"),
        ('{"format": "other"}', "it is not a knobo.edits document"),
        (
            '{"format": "knobo.edits", "format_version": 1, "edits": [], "review": {"cases": [{"case": 999}]}}',
            "no case 999",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_named(browser, shown, tmp_path, text, said):
    broken = tmp_path / "broken.json"
    broken.write_text(text, encoding="utf-8")
    browser.upload("#edit-load", broken)
    browser.wait(lambda: said in browser.run("document.getElementById('edit-status').textContent"), "the message")
    assert browser.run("document.querySelectorAll('#edit-list li').length") == 0


def test_a_conflict_is_answered_with_one_button(browser, fake, cases, tmp_path):
    fake.weights_ = -fake.weights_
    browser.open(write_report(fake, *cases, tmp_path / "report.html", max_cases=1))
    assert browser.run("document.querySelectorAll('button[data-edit]').length") == 6
    browser.run("document.querySelector('button[data-edit]').click()")
    edit = json.loads(save(browser).read_text(encoding="utf-8"))["edits"][0]
    assert edit.pop("when")
    expected = {"edit": "force_sign", "concept": "cardiomegaly", "class_name": "heart_failure", "sign": 1}
    assert edit == expected | {"why": "sign of the literature"}


def test_maps_are_laid_over_the_image(browser, fake, cases, tmp_path):
    images, y = cases
    maps = [{"nodule": np.eye(8), "cardiomegaly": np.zeros((4, 4))}] * 30
    browser.open(write_report(fake, images, y, tmp_path / "report.html", maps=maps, max_cases=1))
    visible = "[...document.querySelectorAll('img.map')].filter(one => !one.hidden).map(one => one.dataset.of)"
    assert browser.run(visible) == []
    browser.run("""(() => { const one = document.querySelector('select[data-map]'); one.value = 'nodule';
      one.dispatchEvent(new Event('change')); })()""")
    assert browser.run(visible) == ["nodule"]
    boxes = browser.run("""[...document.querySelectorAll('.picture img:not([hidden])')].map(one =>
      { const box = one.getBoundingClientRect(); return [box.left, box.top, box.width, box.height]; })""")
    np.testing.assert_allclose(boxes[0], boxes[1], atol=0.5)
    assert browser.complaints() == []


def test_markup_in_names_cannot_run(browser, fake, six_concepts, cases, tmp_path):
    bad = "</script><script>alert(1)</script><img src=x onerror=alert(2)><!--<script>'\"&\u2028"
    document = six_concepts.model_dump()
    for concept in document["concepts"]:
        concept["name"] += bad
        concept["evidence"][0].update(sentence=bad, source=bad, url="javascript:alert(3)")
    fake.bank_ = ConceptBank.model_validate(document)
    fake.classes_ = np.array([bad, "normal", "pneumonia"])
    fake.weights_ = -fake.weights_
    images, _ = cases
    path = tmp_path / "a<img src=x onerror=alert(4)>.html"
    maps = [{"nodule": np.eye(4)}] * 30
    write_report(
        fake, images, fake.classes_[np.arange(30) % 3], path, title=bad, notice=bad, maps=maps,
        metadata=pd.DataFrame({bad: [bad] * 15 + ["other"] * 15}), domain=[bad] * 30, case_names=[bad] * 30,
        max_cases=2,
    )  # fmt: skip
    browser.open(path)
    assert browser.run(OPEN_ALL) > 0
    browser.run("document.querySelectorAll('button').forEach(one => one.click())")
    assert browser.run("document.querySelectorAll('script').length") == 2
    assert browser.run("[...document.images].every(one => one.src.startsWith('data:image/'))")
    shown = browser.run("document.querySelector('.what-if-row .name').textContent")
    assert shown.endswith(bad)
    assert browser.complaints() == []


def test_a_script_that_is_not_the_pages_own_is_blocked(browser, fake, cases, tmp_path):
    path = write_report(fake, *cases, tmp_path / "report.html", max_cases=1)
    text = path.read_text(encoding="utf-8").replace("</main>", "<script>document.title = 'owned'</script></main>")
    path.write_text(text, encoding="utf-8")
    browser.open(path)
    assert browser.run("document.title") == "Model review"
    assert any("Content Security Policy" in str(entry) for entry in browser.complaints())


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280, 3840])
def test_the_page_fits_and_can_be_read_at_every_width(browser, fake, cases, tmp_path, width, dark):
    fake.weights_ = -fake.weights_
    images, y = cases
    metadata = pd.DataFrame({"view": ["AP", "PA"] * 15, "age": range(30, 60)})
    page = write_report(fake, images, y, tmp_path / "report.html", max_cases=2, metadata=metadata)
    browser.open(page, width=width, dark=dark)
    browser.run(OPEN_ALL)
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run(LOW_CONTRAST) == []


# Text whose contrast with what lies behind it is below 4.5 (WCAG 2.1, success criterion 1.4.3, level AA).
LOW_CONTRAST = """(() => {
  const parse = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return n.length > 3 ? n : [...n, 1]; };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const channel = (c) => ((c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const light = (c) => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  const behind = (one) => {
    const layers = [];
    for (let part = one; part; part = part.parentElement) layers.push(parse(getComputedStyle(part).backgroundColor));
    return layers.reduceRight((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const found = [];
  for (const one of document.querySelectorAll('body *')) {
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || one.disabled || !one.checkVisibility() || ['SCRIPT', 'OPTION'].includes(one.tagName)) continue;
    const style = getComputedStyle(one);
    const ground = behind(one);
    const ink = over(parse(one instanceof SVGElement ? style.fill : style.color), ground);
    const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) found.push(`${one.tagName} ${one.className} ${one.textContent.slice(0, 30)}`);
  }
  return found;
})()"""


def test_without_scripts_the_page_is_whole_and_hides_its_controls(browser, fake, cases, tmp_path):
    browser.open(write_report(fake, *cases, tmp_path / "report.html", max_cases=2), script=False)
    nodes = browser.call("DOM.getDocument")["root"]["nodeId"]
    for selector in ("#edits", "details.what-if", ".note"):
        node = browser.call("DOM.querySelector", nodeId=nodes, selector=selector)["nodeId"]
        attributes = browser.call("DOM.getAttributes", nodeId=node)["attributes"]
        assert "hidden" in attributes
    text = browser.call("DOM.getOuterHTML", nodeId=nodes)["outerHTML"]
    assert "Contributions to the score" in text


def test_it_prints(browser, shown):
    document = browser.pdf()
    assert document.startswith(b"%PDF")
    assert document.count(b"/Type /Page\n") + document.count(b"/Type /Page ") >= 2


def test_fifty_cases_stay_below_ten_megabytes(fake, tmp_path):
    rng = np.random.default_rng(0)
    pictures = [
        rng.normal(128, 40, (448, 448)).clip(0, 255).astype(np.uint8) for _ in range(2)
    ]  # noise compresses worst
    maps = [{name: rng.random((64, 64)) for name in fake.bank_.ids}] * 50
    y = fake.classes_[np.arange(50) % 3]
    shown = {"pictures": [pictures[i % 2] for i in range(50)], "maps": maps, "max_cases": 50}
    path = write_report(fake, rng.random((50, 6)), y, tmp_path / "r.html", **shown)
    assert path.read_text(encoding="utf-8").count('<article class="case"') == 50
    assert path.stat().st_size < 10e6


def test_the_notebook_has_the_same_widget(browser, fake, cases, tmp_path):
    why = fake.explain(cases[0])[:2]
    path = tmp_path / "notebook.html"
    path.write_text(
        f"<!doctype html><meta charset=utf-8><body>{why._repr_html_()}{why[1]._repr_html_()}", encoding="utf-8"
    )
    browser.open(path)
    assert browser.run(OPEN_ALL) == 3 * 4  # four concepts with a weight, in three cases
    click(browser, 1, "consolidation", "present")
    changed = why[1].intervene({"consolidation": 1.0})
    np.testing.assert_allclose(probabilities(browser, 1), changed.probabilities[0], rtol=0, atol=1e-12)
    assert browser.complaints() == []
