"""Tables and the figure of the shift bench."""

from __future__ import annotations

import numpy as np
from scipy.stats import t

from knobo.storage import atomic_path, write_text

CONTROL = 0.5


def summarise(rows, by=("encoder", "strength")):
    """One row a method: means over data sets and seeds, with a 95 % interval over the seeds' means.

    A seed's mean is over its confounders; the interval is Student's over seeds, so it says how much the choice of
    images from one pool matters, and nothing about other pools. *Unconfounded* is the mean over both test sets of the
    run in which nothing is tied.
    """
    rows = rows.assign(average=(rows["id"] + rows["ood"]) / 2, gap=rows["id"] - rows["ood"])
    control = rows[rows["strength"] == CONTROL].set_index(["modality", "encoder", "seed", "method"])["average"]
    tied = rows[rows["strength"] != CONTROL].join(control.rename("unconfounded"), on=control.index.names)
    measures = ["id", "ood", "average", "gap", "unconfounded", "concepts", "seconds"]
    seeds = tied.groupby([*by, "method", "seed"], sort=False)[measures].mean()
    grouped = seeds.groupby([*by, "method"], sort=False)
    count = grouped.size()
    half = grouped.std().mul(t.ppf(0.975, np.maximum(count - 1, 1)) / np.sqrt(count), axis=0)
    return grouped.mean().join(half[["id", "ood", "average", "gap", "unconfounded"]].add_suffix("_half"))


def to_markdown(table):
    """The table in percent, mean ± half interval."""
    shown = ["id", "ood", "average", "gap", "unconfounded"]
    lines = ["| method | ID | OOD | average | gap | unconfounded | concepts/class | fit, s |", "|---|" + "---|" * 7]
    for method, row in table.iterrows():
        cells = [f"{100 * row[name]:.1f} ± {100 * row[name + '_half']:.1f}" for name in shown]
        concepts = "–" if np.isnan(row["concepts"]) else f"{row['concepts']:.1f}"
        lines.append(f"| {method} | " + " | ".join(cells) + f" | {concepts} | {row['seconds']:.2f} |")
    return "\n".join(lines)


def write_results(rows, folder, *, measure):
    """Write rows, tables and the figure; return the tables as Markdown."""
    table = summarise(rows)
    texts = []
    for (encoder, strength), part in table.groupby(level=[0, 1], sort=False):
        texts.append(f"### {encoder}, strength {strength:g}\n\n" + to_markdown(part.droplevel([0, 1])))
    write_text(folder / "rows.csv", rows.to_csv(index=False))
    write_text(folder / "table.csv", table.round(4).to_csv())
    write_text(folder / "table.md", "\n\n".join(texts) + "\n")
    _draw(table, folder / "gap.png", measure)
    return "\n\n".join(texts)


def _draw(table, path, measure):
    """Accuracy in domain and out of it for each method, joined by a line."""
    from matplotlib.figure import Figure

    from knobo.explain.style import AGAINST, FOR

    parts = list(table.groupby(level=[0, 1], sort=False))
    figure = Figure(figsize=(7 * len(parts), 6), layout="constrained")
    for ax, (key, part) in zip(figure.subplots(1, len(parts), squeeze=False)[0], parts, strict=True):
        part = part.droplevel([0, 1]).sort_values("ood")
        at = np.arange(len(part))
        ax.hlines(at, 100 * part["ood"], 100 * part["id"], color="0.7")
        ax.errorbar(100 * part["ood"], at, xerr=100 * part["ood_half"], fmt="s", color=AGAINST, label="out of domain")
        ax.errorbar(100 * part["id"], at, xerr=100 * part["id_half"], fmt="o", color=FOR, label="in domain")
        ax.plot(100 * part["unconfounded"], at, "|", color="black", markersize=12, label="unconfounded")
        ax.set(
            yticks=at,
            yticklabels=part.index,
            xlabel=f"{measure} in %",
            title=f"encoder {key[0]}, strength of the tie {key[1]:g}",
        )
        ax.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
