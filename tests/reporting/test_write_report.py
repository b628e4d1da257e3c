"""The page stands alone, says what was measured, adds up, and escapes whatever it is given."""

import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from knobo.bank import ConceptBank
from knobo.classifier import ConceptBottleneckClassifier
from knobo.encoders import load_encoder
from knobo.errors import FileError, InputError, InputTypeError, NotFittedError
from knobo.reporting import write_report
from knobo.reporting.cases import choose_cases, data_uri
from knobo.reporting.sections import citation, encoder_name
from knobo.shift import check_shift, evaluate

CLASSES = np.array(["heart_failure", "normal", "pneumonia"])
VOID = {"meta", "img", "br", "link", "hr", "input"}


class Page(HTMLParser):
    """Tags with their attributes and the text of a page; fails where tags are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.stack, self.ids = [], [], []
        self.feed(text)
        shown = re.sub(r"<(style|script)\b.*?</\1>|<[^>]+>", " ", text, flags=re.S)
        self.text = " ".join(shown.split())
        assert not self.stack

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def write(tmp_path, *args, **kwargs):
    path = write_report(*args, tmp_path / "report.html", **kwargs)
    return Page(path.read_text(encoding="utf-8"))


def test_the_page_stands_alone(fake, cases, tmp_path):
    page = write(tmp_path, fake, *cases, notice="All images are synthetic.")
    names = {name for name, _ in page.tags}
    assert not names & {"link", "iframe", "object", "form", "base"}
    assert not any("src" in script for script in page.all("script"))
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in page.all("img"))
    assert "default-src 'none'" in next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    css = (tmp_path / "report.html").read_text().split("<style>")[1].split("</style>")[0]
    assert "url(" not in css
    assert "@import" not in css
    assert "Research software, not a medical device." in page.text
    assert "All images are synthetic." in page.text


def test_the_policy_knows_the_one_script_by_its_hash(fake, cases, tmp_path):
    page = write(tmp_path, fake, *cases)
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    script = (tmp_path / "report.html").read_text(encoding="utf-8").split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|fetch\(|XMLHttp", script)


def test_the_page_can_be_navigated(fake, cases, tmp_path):
    page = write(tmp_path, fake, *cases)
    assert len(page.ids) == len(set(page.ids))
    assert {link["href"][1:] for link in page.all("a") if link["href"].startswith("#")} <= set(page.ids)
    levels = [int(name[1]) for name, _ in page.tags if re.fullmatch(r"h[1-6]", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert max(np.diff(levels)) <= 1
    assert page.all("html")[0]["lang"] == "en"
    assert all(image["alt"] for image in page.all("img"))
    assert all("scope" in header for header in page.all("th"))


def test_the_numbers_are_those_of_evaluate(fake, cases, tmp_path):
    page = write(tmp_path, fake, *cases)
    images, y = cases
    why = fake.explain(images)
    metrics = evaluate(y, why.probabilities, CLASSES)
    accuracy = metrics.loc["accuracy"]
    assert accuracy["estimate"] == np.mean(why.predicted == y)
    assert f"Accuracy {accuracy['estimate']:.3f} {accuracy['low']:.3f} to {accuracy['high']:.3f}" in page.text
    assert f"AUROC, mean over classes {metrics.loc['auroc', 'estimate']:.3f}" in page.text
    assert f"Sensitivity for heart failure {metrics.loc['sensitivity[heart_failure]', 'estimate']:.3f}" in page.text
    assert f"{np.sum(why.predicted != y)} of 30 predictions are wrong" in page.text


def test_a_case_adds_up_with_its_evidence(fake, cases, tmp_path):
    images, _ = cases
    why = fake.explain(images[:1])
    page = write(tmp_path, fake, images[:1], why.predicted)
    case = page.text.split("Case 1:")[1]
    k = int(why.logits[0].argmax())
    assert f"average image {why.base[k]:.2f}".replace("-", "−") in case
    assert f"this image {why.logits[0, k]:.2f}".replace("-", "−") in case
    row = why.to_frame().iloc[0]
    numbers = f"{row['activation']:.2f} (0.30) {row['contribution']:+.2f}".replace("-", "−")
    assert f"{row['name']} {numbers}" in case
    assert f"held-out AUROC {row['auroc']:.2f}" in case
    assert row["sentence"] in case
    assert row["source"] in case
    assert "✓ correct" in case


def test_weights_stand_beside_the_literature(fake, cases, tmp_path):
    page = write(tmp_path, fake, *cases)
    table = page.text.split("Findings with a weight, strongest first.")[1].split("Can it see the findings?")[0]
    assert "cardiomegaly +3.00 literature: + −1.00" in table
    assert "atelectasis" not in table  # no weight
    assert "No weight has the opposite sign." in page.text
    fake.weights_ = -fake.weights_
    flipped = write(tmp_path, fake, *cases)
    assert "3 weights have the opposite sign" in flipped.text
    assert "cardiomegaly for heart failure" in flipped.text


def test_wrong_cases_come_first_and_are_marked(fake, cases, tmp_path):
    images, y = cases
    why = fake.explain(images)
    page = write(tmp_path, fake, images, y, max_cases=6)
    marks = re.findall(r"✗ wrong: labelled|✓ correct", page.text)
    assert marks == ["✗ wrong: labelled"] * 3 + ["✓ correct"] * 3
    first = int(page.text.split("Case ")[1].split(":")[0]) - 1
    wrong = why.predicted != y
    assert why.probabilities[first].max() == why.probabilities[wrong].max()


@pytest.mark.parametrize(
    ("n_right", "most", "expected"), [(30, 4, (0, 4)), (0, 4, (4, 0)), (2, 6, (4, 2)), (9, 5, (3, 2))]
)
def test_cases_fill_the_page(fake, cases, n_right, most, expected):
    why = fake.explain(cases[0])
    truth = why.predicted.astype(str)
    truth[n_right:] = np.where(truth[n_right:] == "normal", "pneumonia", "normal")
    chosen = choose_cases(why, truth, most)
    right = [why.predicted[i] == truth[i] for i in chosen]
    assert (right.count(False), right.count(True)) == expected
    assert len(set(chosen)) == len(chosen)


def test_no_cases_on_request(fake, cases, tmp_path):
    page = write(tmp_path, fake, *cases, max_cases=0)
    assert not page.all("img")
    assert not page.all("article")


def test_no_name_of_a_file_or_patient_is_shown(fake, cases, tmp_path):
    images, y = cases
    groups = [f"Jane-Doe-{i}" for i in range(30)]
    page = write(tmp_path, fake, images, y, groups=groups)
    assert "Jane" not in page.text
    assert "intervals over patients" in page.text


def test_pictures_of_files_lose_their_metadata(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "Jane Doe"
    path = tmp_path / "jane.jpg"
    Image.fromarray(np.full((900, 600, 3), 90, dtype=np.uint8)).save(path, exif=exif)
    assert b"Jane" in path.read_bytes()
    data = base64.b64decode(data_uri(path).split(",")[1])
    assert b"Jane" not in data
    assert Image.open(io.BytesIO(data)).size == (299, 448)


def test_embeddings_have_no_images_unless_pictures_are_given(fake, cases, tmp_path):
    images, y = cases
    embeddings = np.stack(images).reshape(30, -1)
    assert not write(tmp_path, fake, embeddings, y).all("img")
    assert len(write(tmp_path, fake, embeddings, y, pictures=images, max_cases=3).all("img")) == 3


def test_metadata_is_shown_with_each_case(fake, cases, tmp_path):
    images, y = cases
    metadata = pd.DataFrame({"hospital": ["A"] * 30, "age": range(30, 60)})
    page = write(tmp_path, fake, images[:2], y[:2], metadata=metadata.iloc[:2])
    assert "hospital A age 30" in page.text


def test_shift_reports_are_shown_by_name(fake, cases, tmp_path):
    images, y = cases
    fake.predict_proba = lambda X: fake.explain(X).probabilities
    report = check_shift(fake, (images[:15], y[:15]), (images[15:], y[15:]), n_bootstrap=20)
    page = write(tmp_path, fake, *cases, shift={"bottleneck": report, "linear probe": report})
    row = report.to_frame().loc["accuracy"]
    assert page.text.count(f"Accuracy {row['id']:.3f}") == 2
    assert "linear probe. source: 15 cases; target: 15 cases" in page.text
    assert "In its own domain" in write(tmp_path, fake, *cases, shift=report).text


def hostile_bank(bank, bad):
    document = bank.model_dump()
    for concept in document["concepts"]:
        concept["name"] += bad
        concept["evidence"][0].update(sentence=bad, source=bad, url="javascript:alert(1)")
    return ConceptBank.model_validate(document)


def test_markup_in_any_text_is_escaped(fake, six_concepts, cases, tmp_path):
    bad = '<script>alert("x")</script><img src=x onerror=alert(1)>\'"&'
    fake.bank_ = hostile_bank(six_concepts, bad)
    fake.encoder_name_ = bad
    fake.classes_ = np.array(["<script>a</script>", "normal", "pneumonia"])
    fake.concept_quality_ = pd.concat(
        [fake.concept_quality_, pd.DataFrame({"auroc": [0.5], "reason": [bad]}, index=[bad])]
    )
    images, _ = cases
    y = fake.classes_[np.arange(30) % 3]
    metadata = pd.DataFrame({bad: [bad] * 30})
    page = write(tmp_path, fake, images, y, metadata=metadata, title=bad, notice=bad)
    assert page.all("script") == [{"type": "application/json", "class": "knobo-data"}, {}]
    assert all(image["src"].startswith("data:image/jpeg") for image in page.all("img"))
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert not any(link["href"].lower().startswith("javascript") for link in page.all("a"))
    assert page.text.count("&lt;script&gt;") > 10


def test_findings_that_nobody_answered_are_named_outside_the_table(fake, cases, tmp_path):
    images, y = cases
    fake.concept_quality_ = pd.concat(
        [fake.concept_quality_, pd.DataFrame({"auroc": [np.nan], "reason": ["few"]}, index=["hampton-hump"])]
    )
    page = write(tmp_path, fake, images, y)
    assert "1 further finding of the bank had too few answers to learn from hampton hump" in page.text


def test_only_web_addresses_become_links(six_concepts):
    evidence = six_concepts.concepts[0].evidence[0]
    for url, kept in (("https://a.org/b", True), ("javascript:alert(1)", False), ("file:///etc", False), (None, False)):
        assert (citation(evidence.model_copy(update={"url": url})).url == url) is (kept or url is None)
    assert citation(None) is None


def test_an_encoders_folder_is_named_without_its_path():
    class Named:
        encoder = "local-dir:/home/jane/models/my-clip"

    assert encoder_name(Named()) == "local-dir:my-clip"
    Named.encoder = load_encoder("classical")
    assert encoder_name(Named()) == "classical"


def test_a_real_classifier_of_two_classes(six_concepts, colour_encoder, band_images, tmp_path):
    images, y, answers = band_images
    two = np.flatnonzero(y != "normal")
    images, y = [images[i] for i in two], y[two]
    clf = ConceptBottleneckClassifier(six_concepts, colour_encoder).fit(images, y, concepts=answers.iloc[two])
    page = write(tmp_path, clf, images, y, max_cases=4)
    assert "Image encoder test-colours" in page.text
    assert "AUROC of pneumonia" in page.text
    assert len(page.all("img")) == 4
    quality = clf.concept_quality_.loc["consolidation"]
    assert f"consolidation {quality['auroc']:.3f} {quality['accuracy']:.3f}" in page.text


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"y": ["normal"]}, InputError, "30 images but 1 labels"),
        ({"y": ["cancer"] * 30}, InputError, "'cancer', which the classifier never saw"),
        ({"metadata": pd.DataFrame({"a": [1]})}, InputError, "30 images but 1 rows of metadata"),
        ({"metadata": [1] * 30}, InputTypeError, "metadata must be a DataFrame"),
        ({"pictures": [1]}, InputError, "30 images but 1 pictures"),
        ({"max_cases": -1}, InputError, "max_cases is -1"),
        ({"shift": 3}, InputTypeError, "shift must be a ShiftReport, or a mapping of names to them, got int"),
        ({"images": [], "y": []}, InputError, "There are no images to report on"),
        ({"images": "a.png"}, InputTypeError, "images must be a sequence of images, got str"),
        ({"clf": object()}, InputTypeError, "object has no explain method"),
    ],
)
def test_unusable_input_is_named_and_writes_nothing(fake, cases, tmp_path, change, error, message):
    path = tmp_path / "report.html"
    arguments = {"clf": fake, "images": cases[0], "y": cases[1], "path": path} | change
    with pytest.raises(error, match=message):
        write_report(**arguments)
    assert not path.exists()


def test_a_folder_is_not_replaced_by_the_page(fake, cases, tmp_path):
    with pytest.raises(FileError, match=r"is a folder; give the name of a file in it, such as .*report\.html"):
        write_report(fake, *cases, tmp_path)
    assert tmp_path.is_dir()


def test_an_unfitted_or_incomplete_classifier_is_refused(fake, cases, six_concepts, tmp_path):
    with pytest.raises(NotFittedError, match="has no classes_; call fit before write_report"):
        write_report(ConceptBottleneckClassifier(six_concepts), *cases, tmp_path / "a.html")
    del fake.bank_
    with pytest.raises(InputTypeError, match="Fake lacks bank_, which write_report shows"):
        write_report(fake, *cases, tmp_path / "a.html")
