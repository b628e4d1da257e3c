"""Concept bottlenecks beside probes and other methods where a confounder breaks, on synthetic and on real images.

    python benchmarks/shift.py phantom [--seeds 10] [--encoders classical] [--variants] [--cache DIR] [--out DIR]
    python benchmarks/shift.py phantom --small       two seeds and few images
    python benchmarks/shift.py real --data DIR       chest films, AP against PA, from a folder of real images

Phantom: see ``phantom_pools`` for the images. For every confounder and seed, ``confounded_split`` cuts 400 training,
100 validation, 200 in-domain and 200 reversed test images from the pool. Validation chooses, test reports.
*Unconfounded* is the accuracy of the same method, at the same sizes, where the sticker is tied to nothing. Concepts are
learned from an archive of other patients with the reports as the only answers, or are read zero-shot by the encoder's
texts; *true concepts* are what was drawn, and show what the head alone does to the gap.

Real: see ``shift_real``; all figures are AUROCs.

Writes ``rows.csv`` (one row a run), ``table.csv``, ``table.md`` and ``gap.png``.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))

from phantom_pools import CLASSES, STICKER, draw_pool, levels
from shift_methods import methods_for, nonzero_weights
from shift_real import real
from shift_tables import write_results

from knobo import load_encoder
from knobo.shift import confounded_split

SIZES = {"n_train": 400, "n_val": 100, "n_id_test": 200, "n_test": 200}
SMALL = {"n_train": 48, "n_val": 24, "n_id_test": 24, "n_test": 24}


# The second and the third class share one level, the first and the fourth the other.
FIRST_LEVEL = {
    "hospital": ("A", "B"),
    "marker": ("False", "True"),
    "ruler": ("False", "True"),
    "view": ("PA", "AP"),
    "sex": ("F", "M"),
    "age": ("under 65", "65 and over"),
    "skin tone": ("I-II", "III-VI"),
}


def pairs(modality, confounder):
    """Level of each class in domain."""
    other = (1, 2) if modality == "chest" else (2, 3)
    return {name: FIRST_LEVEL[confounder][index in other] for index, name in enumerate(CLASSES[modality])}


def run(pool, methods, column, *, tied, strength, seed, sizes):
    """One row a method: accuracies in domain and out of it, number of concepts, seconds of the fit."""
    split = confounded_split(pool.labels, column, strength=strength, pairs=tied, random_state=seed, **sizes)
    groups = np.char.add(pool.labels.astype(str), column.astype(str))
    for name, (estimator, features) in methods.items():
        X = features(pool)
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = estimator().fit(
                X[split.train],
                pool.labels[split.train],
                groups=groups[split.train],
                validation=(X[split.val], pool.labels[split.val], groups[split.val]),
            )
        seconds = time.process_time() - start
        accuracy = {
            part: float((model.predict(X[rows]) == pool.labels[rows]).mean())
            for part, rows in (("id", split.id_test), ("ood", split.test))
        }
        yield {"method": name, **accuracy, "concepts": nonzero_weights(model), "seconds": seconds}


def phantom(encoders, modalities, strengths, seeds, *, n_cases, n_archive, sizes, cache=None, variants=False):
    """All rows of the phantom suite."""
    rows = []
    for modality in modalities:
        pool, archive = (
            draw_pool(modality, part, n, encoders, cache=cache)
            for part, n in (("cases", n_cases), ("archive", n_archive))
        )
        columns = levels(modality, pool.metadata)
        for encoder in encoders:
            methods = methods_for(modality, archive, encoder, encoders[encoder], variants=variants)
            for seed in range(seeds):
                settings = [(name, strength) for name in columns for strength in strengths]
                for name, strength in [(STICKER[modality], 0.5), *settings]:
                    column, tied = columns[name].to_numpy(str), pairs(modality, name)
                    where = {"modality": modality, "confounder": name, "strength": strength, "encoder": encoder}
                    for row in run(pool, methods, column, tied=tied, strength=strength, seed=seed, sizes=sizes):
                        rows.append({**where, "seed": seed, **row})
                print(f"{modality} {encoder} seed {seed}", file=sys.stderr, flush=True)
    return pd.DataFrame(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", choices=("phantom", "real"))
    parser.add_argument("--encoders", nargs="+", default=["classical"], help="a name, or another name=what to load")
    parser.add_argument("--modalities", nargs="+", choices=CLASSES, default=list(CLASSES))
    parser.add_argument("--strengths", nargs="+", type=float, default=[1.0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--train", type=int, default=SIZES["n_train"], help="training images")
    parser.add_argument("--variants", action="store_true", help="also other priors and penalties, and matched numbers")
    parser.add_argument("--small", action="store_true", help="two seeds and few images")
    parser.add_argument("--cache", type=Path, help="folder to keep the embedded pools in")
    parser.add_argument("--data", type=Path, help="folder with chest_xray and nih_findings")
    parser.add_argument("--out", type=Path, default=Path("shift-bench"))
    args = parser.parse_args()
    if args.suite == "real":
        if args.data is None:
            parser.error("the real suite needs --data")
        rows, quality = real(args.data, load_encoder(args.encoders[0]), args.seeds)
        print(quality.round(2).to_string())
    else:
        rows = phantom(
            {name.split("=")[0]: load_encoder(name.split("=")[-1]) for name in args.encoders},
            args.modalities,
            args.strengths,
            2 if args.small else args.seeds,
            n_cases=400 if args.small else 2400,
            n_archive=200 if args.small else 1200,
            sizes=SMALL if args.small else SIZES | {"n_train": args.train},
            cache=args.cache,
            variants=args.variants,
        )
    print(write_results(rows, args.out, measure="AUROC" if args.suite == "real" else "accuracy (synthetic images)"))


if __name__ == "__main__":
    main()
