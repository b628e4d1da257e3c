"""Do explanations name what made the label? On synthetic chest radiographs, whose making is known.

    python benchmarks/faithfulness.py [--images 600] [--size 224] [--encoder classical] [--seeds 0 1 2] [--truth-only]

Each class of the phantom shows each finding with a known probability, so that the effect of a finding on a class is
known: the log odds ratio between the class and the rest. A contribution is a true cause when its finding has an effect
(odds ratio at least 1.25, or at most 0.8) and its weight has that sign; findings that were made up have none. The share
of true causes among the three largest contributions to the predicted class is printed for

- truth: activations are the findings themselves, and as many made-up findings that are tossed up;
- scorer: activations are read off the images by grounding functions that have learned the findings, the sex of the
  patient and the burnt-in marker on other images; the last two have no effect, and are in the bank.

"Contrast" asks the same of the predicted class against the runner-up, where the effect of a finding is the difference
of its log odds in the two classes, which is what its weight would be in the best classifier there can be.

Then the marker is tied to two classes in the training images, and the images that bear it are explained: in how many is
it among the three largest contributions, and which rank has its weight in the tied classes?
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from sklearn.frozen import FrozenEstimator

from knobo.bank import ConceptBank
from knobo.classifier import ConceptBottleneckClassifier
from knobo.encoders import embed, load_encoder
from knobo.explain import Explanation, check_causes
from knobo.grounding import ConceptScorer
from knobo.heads import ConceptHeadCV
from knobo.phantom import make_chest_xrays
from knobo.phantom._chest_case import _ODDS, CHEST_CLASSES, sample_case

TIED = ("pneumonia", "heart_failure")
DECOYS = ("marker", "male")


def true_effects(decoys):
    """Log odds ratio of each finding between a class and the rest, where classes are equally frequent."""
    p = np.array(list(_ODDS.values())).T
    rest = (p.sum(axis=0) - p) / (len(p) - 1)
    ratio = np.log(p / (1 - p)) - np.log(rest / (1 - rest))
    table = pd.DataFrame(np.where(np.abs(ratio) < np.log(1.25), 0, ratio), CHEST_CLASSES, [name_id(f) for f in _ODDS])
    return table.assign(**dict.fromkeys(decoys, 0.0))


def name_id(finding):
    return finding.replace("_", "-")


def sample_findings(n, seed):
    """Labels and findings of ``n`` phantoms that nobody draws."""
    weights = np.full(len(CHEST_CLASSES), 1 / len(CHEST_CLASSES))
    seeds = np.random.SeedSequence(seed).spawn(n)
    cases = [sample_case(s, hospital="A", weights=weights, label=CHEST_CLASSES[i % 5]) for i, s in enumerate(seeds)]
    table = pd.DataFrame([case.findings for case in cases], dtype=float)
    return np.array([case.label for case in cases]), table.rename(columns=name_id)


def explain_truth(n, seed, rule, n_decoys=11):
    """Explain test cases by a head that was trained on the findings themselves and as many made-up ones."""
    rng = np.random.default_rng([seed, 1])
    parts = []
    for part in (0, 1):
        labels, findings = sample_findings(n, [seed, part])
        made_up = {f"made-up-{j}": rng.random(n) < rate for j, rate in enumerate(rng.uniform(0.05, 0.5, n_decoys))}
        parts.append((labels, findings.assign(**made_up).astype(float)))
    (y, A), (_, A_test) = parts
    head = ConceptHeadCV(prior=None, rule=rule).fit(A.to_numpy(), y)
    return Explanation(
        activations=A_test,
        weights=head.coef_,
        intercept=head.intercept_,
        reference=A.mean().to_numpy(),
        classes=head.classes_,
        bank=ConceptBank.from_names(list(A.columns)),
    )


class Pictures:
    """Draws and encodes phantoms; ``tied`` is the share of images whose marker follows the label, None for chance."""

    def __init__(self, encoder, n, size):
        self.encoder, self.n, self.size = load_encoder(encoder), n, size

    def __call__(self, seed, tied=None):
        rng = np.random.default_rng([seed, 77])
        labels = np.resize(CHEST_CLASSES, self.n)
        marker = rng.random(self.n) < 0.5
        if tied is not None:
            marker = np.isin(labels, TIED) == (rng.random(self.n) < tied)
        data = make_chest_xrays(self.n, size=self.size, labels=labels, marker=marker, random_state=seed)
        answers = data.findings.drop(columns="no_finding").rename(columns=name_id)
        answers = answers.assign(marker=marker, male=(data.metadata["sex"] == "M").to_numpy())
        return embed(self.encoder, list(data.images)).rows, labels, answers.astype(float)


def explain_pictures(draw, scorer, bank, seed, tied=None):
    """Train a head on drawn images, with a frozen scorer, and explain others."""
    X, y, _ = draw(seed + 1, tied)
    clf = ConceptBottleneckClassifier(
        bank, draw.encoder, scorer=FrozenEstimator(scorer), head=ConceptHeadCV(prior=None)
    )
    clf.fit(X, y)
    X_test, y_test, answers = draw(seed + 2, tied)
    return clf, clf.explain(X_test), answers, clf.score(X_test, y_test)


def shares(name, why, decoys):
    """Shares of true causes among the contributions of one explanation, by several ways to count."""
    table = check_causes(why, true_effects(decoys).reindex(columns=list(why.bank.ids)))
    size = table["contribution"].abs()
    return {
        f"{name}, top 1": table.loc[table["rank"] == 1, "true"].mean(),
        f"{name}, top 3": table["true"].mean(),
        f"{name}, top 3 weighted by size": (size * table["true"]).sum() / size.sum(),
        f"{name}, contrast, top 1": contrast_share(why, decoys, 1),
        f"{name}, contrast, top 3": contrast_share(why, decoys, 3),
    }


def contrast_share(why, decoys, top):
    """The same of the predicted class against the runner-up: there the effect is the weight of Bayes' rule itself."""
    p = np.array(list(_ODDS.values())).T
    log_odds = pd.DataFrame(np.log(p / (1 - p)), CHEST_CLASSES, [name_id(f) for f in _ODDS])
    log_odds = log_odds.assign(**dict.fromkeys(decoys, 0.0))[list(why.bank.ids)]
    best = np.argsort(-why.logits, axis=1)[:, :2]
    found = []
    for pair in np.unique(best, axis=0):
        first, second = why.classes[pair]
        effect = (log_odds.loc[first] - log_odds.loc[second]).to_numpy()
        effect = np.where(np.abs(effect) < np.log(1.25), 0, effect)
        part = why[(best == pair).all(axis=1)].contrast(first, second)
        found.append(check_causes(part, np.stack([-effect, effect]), max_concepts=top)["true"])
    return pd.concat(found).mean()


def shortcut(why, answers):
    """Share of the marked images that name the marker, among those called a tied class; ranks of its weight."""
    marked = (answers["marker"].to_numpy() == 1) & np.isin(why.predicted, TIED)
    top = check_causes(why[marked], np.zeros_like(why.weights))
    named = (top["concept"] == "marker").groupby(top["case"]).any().mean()
    ranks = {label: list(why.weights_frame(label)["concept"]) for label in TIED}
    return named, int(marked.sum()), {k: v.index("marker") + 1 if "marker" in v else None for k, v in ranks.items()}


def run(n, draw, seed, rule):
    """One row of figures for one seed."""
    truth = explain_truth(n, seed, rule)
    row = {"seed": seed} | shares("truth", truth, [i for i in truth.bank.ids if i.startswith("made-up")])
    if draw is None:
        return row
    X, _, answers = draw(100 * seed + 10)
    bank = ConceptBank.from_names(list(answers.columns))
    scorer = ConceptScorer().fit(X, answers)
    row["concept AUROC"] = scorer.quality_["auroc"].mean()
    _, why, _, row["accuracy"] = explain_pictures(draw, scorer, bank, 100 * seed + 20)
    row |= shares("scorer", why, DECOYS)
    _, why, seen, row["tied accuracy"] = explain_pictures(draw, scorer, bank, 100 * seed + 30, tied=0.95)
    row["marker named"], row["of"], ranks = shortcut(why, seen)
    return row | {f"rank in {label}": place for label, place in ranks.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=600, help="in each set")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--encoder", default="classical")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rule", default="best", choices=["best", "1se"], help="of the head on the truth")
    parser.add_argument("--truth-only", action="store_true", help="draw no images")
    options = parser.parse_args()
    draw = None if options.truth_only else Pictures(options.encoder, options.images, options.size)
    table = pd.DataFrame([run(options.images, draw, seed, options.rule) for seed in options.seeds])
    print(table.round(3).T.to_string(header=False))


if __name__ == "__main__":
    main()
