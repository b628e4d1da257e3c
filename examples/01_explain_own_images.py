"""Which findings does a classifier of my images rest on, and does it beat a linear probe on the same embeddings?

    python examples/01_explain_own_images.py home/manifest.csv --label label --report report --out out

The manifest is a CSV file with one row an image. Without one, draw synthetic images first: `knobo phantom chest --n 200
--out home`.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from sklearn.model_selection import train_test_split

import knobo


def main() -> None:
    """Baseline first, then the bottleneck, then one explanation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--label", default="label")
    parser.add_argument("--report", default="report")
    parser.add_argument("--bank", default="chest-xray")
    parser.add_argument("--out", type=Path, default=Path("out"))
    options = parser.parse_args()

    data = knobo.read_manifest(options.manifest, label=options.label, report=options.report)
    encoder = knobo.load_encoder("classical")
    embeddings = encoder.encode_images(data.paths, progress=True)
    train, test = train_test_split(np.arange(len(data)), stratify=data.labels, random_state=0)
    y = data.labels

    probe = knobo.linear_probe().fit(embeddings[train], y[train])
    print(f"linear probe        accuracy {np.mean(probe.predict(embeddings[test]) == y[test]):.3f}")

    clf = knobo.ConceptBottleneckClassifier(options.bank, encoder)
    clf.fit(embeddings[train], y[train], reports=[data.reports[i] for i in train])
    print(f"concept bottleneck  accuracy {clf.score(embeddings[test], y[test]):.3f}")
    print(clf.concept_quality_.loc[list(clf.bank_.ids), ["n_yes", "n_no", "auroc"]].round(3))

    options.out.mkdir(parents=True, exist_ok=True)
    why = clf.explain(embeddings[test[:1]])
    print(why.to_frame().head(8))
    ax = why[0].plot()
    ax.figure.savefig(options.out / "explanation.png", dpi=120)
    plt.close(ax.figure)


if __name__ == "__main__":
    main()
