"""Does contrastive fine-tuning on a hospital's own reports help to see findings there?

    python benchmarks/finetuning.py [--pairs 800] [--test 400] [--epochs 4]

phantom-clip, trained on the synthetic hospitals A and B, is fine-tuned on image-report pairs of hospital C. Printed is
the zero-shot AUROC of each finding on other phantoms of hospital C, before and after. The data are synthetic.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

import knobo.encoders
from knobo.bank import ConceptBank
from knobo.encoders import TextEncoder, finetune, load_encoder
from knobo.grounding import ZeroShotScorer
from knobo.phantom import CHEST_FINDINGS, PhantomDataset, make_chest_xrays

WORDS = {
    "pleural_effusion_left": "left pleural effusion",
    "pleural_effusion_right": "right pleural effusion",
    "nodule": "pulmonary nodule",
}


def concept_aurocs(encoder: TextEncoder, data: PhantomDataset) -> pd.Series:
    """Zero-shot AUROC of each finding."""
    findings = data.findings[[name for name in CHEST_FINDINGS if name != "no_finding"]]
    bank = ConceptBank.from_names([WORDS.get(name, name.replace("_", " ")) for name in findings])
    rows = encoder.encode_images(list(data.images), progress=True)
    scores = ZeroShotScorer(bank, encoder, calibration="none").fit(rows).transform(rows)
    return pd.Series({name: roc_auc_score(findings[name], scores[:, k]) for k, name in enumerate(findings)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=800)
    parser.add_argument("--test", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=4)
    args = parser.parse_args()
    training = make_chest_xrays(args.pairs, hospital="C", random_state=11, progress=True)
    test = make_chest_xrays(args.test, hospital="C", random_state=12, progress=True)
    start = Path(knobo.encoders.__file__).parent / "phantom_clip"
    with tempfile.TemporaryDirectory() as scratch:
        tuned = finetune(
            start,
            list(training.images),
            training.reports,
            Path(scratch) / "tuned",
            epochs=args.epochs,
            learning_rate=1e-4,
            sentences=3,
        )
        table = pd.DataFrame(
            {"before": concept_aurocs(load_encoder("phantom-clip"), test), "after": concept_aurocs(tuned, test)}
        )
    table.loc["mean"] = table.mean()
    table["gain"] = table["after"] - table["before"]
    print(np.round(table, 3).to_string())


if __name__ == "__main__":
    main()
