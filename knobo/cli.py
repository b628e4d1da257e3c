"""Every step of knobo as a command."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from knobo.cli_annotate import annotate
from knobo.cli_bank import bank_app
from knobo.cli_corpus import corpus_app
from knobo.cli_edit import edit_app
from knobo.cli_images import images_app
from knobo.cli_models import models_app
from knobo.cli_output import error_console, interactive, out_console, print_frame
from knobo.cli_score import score
from knobo.cli_store import store_app
from knobo.errors import InputError, KnoboError
from knobo.storage import atomic_path, write_text

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from knobo.images import ImageFile, Manifest

app = typer.Typer(
    help="Interpretable medical-image classification with concept bottlenecks. "
    "Research software, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # they could hold what a report says of a patient
    rich_markup_mode="markdown",
)
app.command()(annotate)
app.add_typer(bank_app, name="bank")
app.add_typer(corpus_app, name="corpus")
app.add_typer(store_app, name="store")
app.add_typer(edit_app, name="edit")
app.add_typer(images_app, name="images")
app.add_typer(models_app, name="models")
app.command()(score)

ImageColumn = Annotated[str, typer.Option("--image", help="Manifest column with the image paths.")]
LabelColumn = Annotated[str, typer.Option("--label", help="Manifest column with the class labels.")]
Out = Annotated[Path, typer.Option("--out", help="Where to write.")]
Seed = Annotated[int, typer.Option("--seed", help="Random seed.")]
Model = Annotated[Path, typer.Argument(help="Folder of a model that `knobo fit` or `clf.save` wrote.")]


class Modality(str, Enum):
    """What `knobo phantom` draws."""

    chest = "chest"
    skin = "skin"


def main() -> None:
    """Run the command line; a :class:`KnoboError` becomes one readable message and exit status 1."""
    warnings.formatwarning = lambda message, *_, **__: f"Warning: {message}\n"  # without the line of code
    try:
        app()
    except KnoboError as error:
        error_console.print(Text("Error:", style="bold red"), error, soft_wrap=True)
        sys.exit(1)


@app.command()
def demo(
    out: Out = Path("demo-output"),
    seed: Seed = 0,
) -> None:
    """Run the main job on synthetic chest radiographs, offline.

    Example: `knobo demo --out demo-output`
    """
    from knobo.demo import run_demo

    result = run_demo(out, random_state=seed, progress=interactive())
    print_frame(result.table.reset_index(names="model"), "Accuracy on synthetic hospitals A (ID) and B (OOD)")
    used = ", ".join(f"{name} {count}" for name, count in result.concepts_per_class.items())
    out_console.print(f"Concepts used per class: {used}")
    out_console.print(f"All images are synthetic. Open the report: {result.folder / 'report.html'}", soft_wrap=True)


@app.command()
def fit(
    manifest: Annotated[Path, typer.Argument(help="CSV file with one row an image.")],
    label: LabelColumn,
    image: ImageColumn = "image",
    concepts: Annotated[str, typer.Option(help="Comma-separated columns with an expert's concept answers.")] = "",
    report: Annotated[str | None, typer.Option(help="Column with free-text reports.")] = None,
    bank: Annotated[str | None, typer.Option(help="A shipped bank or a file; alone it is read zero-shot.")] = None,
    group: Annotated[str | None, typer.Option(help="Column that keeps images of one patient together.")] = None,
    encoder: Annotated[str, typer.Option(help="Such as classical, whyxrayclip, local-dir:FOLDER.")] = "classical",
    store: Annotated[Path | None, typer.Option(help="Folder that keeps embeddings between runs.")] = None,
    cv: Annotated[int, typer.Option(help="Folds of the cross-validation.")] = 5,
    out: Out = Path("out"),
    seed: Seed = 0,
) -> None:
    """Fit a classifier on a manifest and cross-validate it beside a linear probe.

    Example: `knobo fit images.csv --label diagnosis --concepts streaks,blue_whitish_veil --cv 5 --out out`
    """
    import numpy as np

    from knobo.classifier import ConceptBottleneckClassifier
    from knobo.comparison import cross_validate
    from knobo.encoders import TextEncoder, embed, load_encoder
    from knobo.grounding import ConceptScorer, concept_answers
    from knobo.images import concept_columns, read_manifest

    names = [name.strip() for name in concepts.split(",") if name.strip()]
    if not names and report is None and bank is None:
        raise InputError(
            "There are no concept answers: give --concepts with column names, --report with --bank, or --bank with an "
            "--encoder that has a text side."
        )
    if report is not None and bank is None:
        raise InputError("--report needs a bank to read the reports with: give --bank chest-xray or a bank file.")
    data = read_manifest(manifest, image=image, label=label, report=report, group=group)
    labels = np.asarray(data.labels)
    columns = concept_columns(data.frame, names) if names else None
    loaded_encoder = load_encoder(encoder)
    embeddings = embed(loaded_encoder, data.paths, store=store, progress=interactive()).rows
    if names or report is not None or not isinstance(loaded_encoder, TextEncoder):
        the_bank, answers = concept_answers(len(embeddings), bank, columns, data.reports)
        clf = ConceptBottleneckClassifier(the_bank, loaded_encoder, scorer=ConceptScorer(random_state=seed))
    else:
        answers, clf = None, ConceptBottleneckClassifier(bank, loaded_encoder)
    table, probabilities = cross_validate(
        clf, embeddings, labels, answers, expert=bool(names), cv=cv, groups=data.groups, random_state=seed
    )
    clf.fit(embeddings, labels, concepts=answers, groups=data.groups)
    clf.save(out / "model")
    write_text(out / "metrics.csv", table.to_csv(index=False))
    write_text(out / "concepts.csv", clf.concept_quality_.to_csv())
    write_text(out / "predictions.csv", _held_out_frame(data, probabilities, clf.classes_).to_csv(index=False))
    _print_metrics(table, f"{cv}-fold cross-validation, {len(embeddings)} images, 95 % intervals")
    quality = clf.concept_quality_.reset_index()[["concept", "n_yes", "n_no", "auroc", "kept"]]
    checked = quality[quality["auroc"].notna()]
    if len(checked):
        print_frame(checked, "Concepts: held-out quality (all columns in concepts.csv)")
    else:
        text = f"{len(quality)} concepts were read by the encoder's words; no answers check that they are seen."
        out_console.print(text, soft_wrap=True)
    out_console.print(f"Model: {out / 'model'}", soft_wrap=True)


@app.command()
def predict(
    model: Model,
    images: Annotated[list[Path], typer.Argument(help="Image files, or one CSV manifest.")],
    image: ImageColumn = "image",
    out: Annotated[Path | None, typer.Option("--out", help="CSV file to write; default: print.")] = None,
) -> None:
    """Predict classes and probabilities for images.

    Example: `knobo predict out/model a.png b.png`
    """
    import pandas as pd

    from knobo.classifier import load
    from knobo.images.source import source_columns

    clf = load(model)
    paths = _image_paths(images, image)
    proba = clf.predict_proba(paths)
    frame = pd.DataFrame(source_columns(paths)).assign(prediction=clf.classes_[proba.argmax(axis=1)])
    frame[[f"p[{name}]" for name in clf.classes_]] = proba
    if out is None:
        shown = pd.DataFrame({"image": [path.name for path in paths], "prediction": frame["prediction"]})
        shown["probabilities"] = [_ranked(row, clf.classes_) for row in proba]
        print_frame(shown, "Predictions")
    else:
        out_console.print(f"{len(frame)} predictions: {write_text(out, frame.to_csv(index=False))}", soft_wrap=True)


@app.command()
def explain(
    model: Model,
    images: Annotated[list[Path], typer.Argument(help="Image files, or one CSV manifest.")],
    image: ImageColumn = "image",
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for one picture a case and contributions.csv.")
    ] = None,
    top: Annotated[int, typer.Option(help="Findings to show for each case.")] = 6,
) -> None:
    """Explain predictions by their findings.

    Example: `knobo explain out/model a.png b.png --out explanations`
    """
    from knobo.classifier import load

    clf = load(model)
    paths = _image_paths(images, image)
    why = clf.explain(paths)
    columns = ["name", "activation", "reference", "weight", "contribution", "auroc"]
    for case, path in enumerate(paths):
        label = why[case].predicted[0]
        probability = why[case].probabilities.max()
        frame = why[case].to_frame(label=label)[columns].head(top)
        print_frame(frame, f"{path.name}: {label} {probability:.2f}")
    if out is not None:
        _save_cases(why, paths, out)
        write_text(out / "contributions.csv", why.to_frame().to_csv(index=False))
        out_console.print(f"Pictures: {out}", soft_wrap=True)


@app.command()
def shift(
    model: Model,
    source: Annotated[Path, typer.Option(help="Manifest of labelled images from the hospital at home.")],
    target: Annotated[Path, typer.Option(help="Manifest of labelled images from elsewhere.")],
    label: LabelColumn,
    image: ImageColumn = "image",
    group: Annotated[str | None, typer.Option(help="Patient column, in both manifests.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="CSV file to write.")] = None,
    seed: Seed = 0,
) -> None:
    """Measure how a model holds on images from elsewhere.

    Example: `knobo shift out/model --source home.csv --target elsewhere.csv --label diagnosis`
    """
    from knobo.classifier import load
    from knobo.images import read_manifest
    from knobo.shift import check_shift

    clf = load(model)
    home = read_manifest(source, image=image, label=label, group=group)
    away = read_manifest(target, image=image, label=label, group=group)
    groups = None if group is None else (home.groups, away.groups)
    report = check_shift(clf, (home.paths, home.labels), (away.paths, away.labels), groups=groups, random_state=seed)
    frame = report.to_frame()
    _print_shift(frame, "In domain (id) and out of domain (ood), 95 % intervals below")
    if out is not None:
        out_console.print(f"Table: {write_text(out, frame.to_csv())}", soft_wrap=True)


@app.command()
def report(
    model: Model,
    manifest: Annotated[Path, typer.Argument(help="Manifest of labelled images that the model has not seen.")],
    label: LabelColumn,
    image: ImageColumn = "image",
    out: Out = Path("report.html"),
    cases: Annotated[int, typer.Option(help="Number of cases to show.")] = 12,
) -> None:
    """Write one HTML page for clinical review.

    Example: `knobo report out/model test.csv --label diagnosis --out report.html`
    """
    import numpy as np

    from knobo.classifier import load
    from knobo.images import read_manifest
    from knobo.reporting import write_report

    data = read_manifest(manifest, image=image, label=label)
    path = write_report(load(model), data.paths, np.asarray(data.labels), out, max_cases=cases, progress=interactive())
    out_console.print(f"Report: {path}", soft_wrap=True)


@app.command()
def phantom(
    modality: Annotated[Modality, typer.Argument(help="What to draw.")],
    n: Annotated[int, typer.Option("--n", help="Number of images.")] = 20,
    size: Annotated[int, typer.Option(help="Side in pixels.")] = 224,
    hospital: Annotated[str, typer.Option(help="A, B or C.")] = "A",
    out: Out = Path("phantom"),
    seed: Seed = 0,
) -> None:
    """Draw synthetic images with reports, findings and masks.

    Example: `knobo phantom chest --n 20 --out phantom`
    """
    from knobo.phantom import make_chest_xrays, make_skin_lesions, write_phantom

    make = make_chest_xrays if modality is Modality.chest else make_skin_lesions
    data = make(n, size=size, hospital=hospital, random_state=seed, progress=interactive())
    out_console.print(f"{n} synthetic images: {write_phantom(data, out)}", soft_wrap=True)


def _ranked(probabilities: np.ndarray[Any, Any], classes: np.ndarray[Any, Any]) -> str:
    """Likeliest class first."""
    return ", ".join(f"{classes[k]} {probabilities[k]:.2f}" for k in (-probabilities).argsort(kind="stable"))


def _image_paths(images: list[Path], column: str) -> Sequence[Path | ImageFile]:
    if len(images) == 1 and images[0].suffix.lower() == ".csv":
        from knobo.images import read_manifest

        return read_manifest(images[0], image=column).paths
    return images


def _held_out_frame(data: Manifest, probabilities: dict[str, Any], classes: np.ndarray[Any, Any]) -> pd.DataFrame:
    import pandas as pd

    from knobo.images.source import source_columns

    frame = pd.DataFrame(source_columns(data.paths)).assign(label=data.labels)
    for model, proba in probabilities.items():
        for k, name in enumerate(classes):
            frame[f"{model}: p[{name}]"] = proba[:, k]
    return frame


def _save_cases(why: Any, paths: Sequence[Path | ImageFile], folder: Path) -> None:
    from matplotlib.figure import Figure

    from knobo.explain import plot_case
    from knobo.images import read_image

    for case, path in enumerate(paths):
        figure = Figure(figsize=(11, 6), layout="constrained")
        plot_case(why[case], read_image(path), figure=figure)
        with atomic_path(folder / f"{case + 1:03d}-{path.stem}.png") as part:
            figure.savefig(part, dpi=120)


def _print_shift(table: pd.DataFrame, title: str) -> None:
    """One row a metric; each interval stands below its value, so that the table fits a terminal."""
    shown = table[[]].copy()
    for name in ("id", "ood", "average", "gap"):
        sign = "+" if name == "gap" else ""
        values = table[[name, f"{name}_low", f"{name}_high"]].itertuples(index=False, name=None)
        shown[name] = [f"{value:{sign}.3f}\n{low:{sign}.3f}–{high:{sign}.3f}" for value, low, high in values]
    print_frame(shown.reset_index(), title)


def _print_metrics(table: pd.DataFrame, title: str) -> None:
    """One row a metric, one column a model, each cell with its interval."""
    cells = table.assign(cell=[f"{r.estimate:.3f} [{r.low:.3f}, {r.high:.3f}]" for r in table.itertuples()]).pivot(
        index="metric", columns="model", values="cell"
    )
    order = list(dict.fromkeys(table["metric"])), list(dict.fromkeys(table["model"]))
    print_frame(cells.loc[order[0], order[1]].reset_index(), title)
