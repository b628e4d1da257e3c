"""The commands ``knobo bank …``: build a concept bank, look at it, write its card, compare two, check one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from knobo.cli_llm import CACHE, BudgetCalls, BudgetUsd, Cache, LlmUrl, Rates, language_model, print_totals
from knobo.cli_output import interactive, out_console, print_frame
from knobo.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from knobo.bank import ConceptBank

bank_app = typer.Typer(help="Build, compare and check concept banks.", no_args_is_help=True)

_SIGN = {None: "unknown", 1: "+", -1: "−"}

Bank = Annotated[str, typer.Argument(help="A shipped bank (chest-xray, skin-lesion) or a bank file.")]


@bank_app.command("build")
def bank_build(
    classes: Annotated[list[str], typer.Argument(help="Class names, such as pneumonia heart_failure normal.")],
    corpus: Annotated[str, typer.Option(help="A shipped corpus (chest-xray, skin-lesion), a folder, file or index.")],
    out: Annotated[Path, typer.Option("--out", help="Where to write.")] = Path("bank.json"),
    encoder: Annotated[str | None, typer.Option(help="Text encoder of a dense index: a folder or a hub id.")] = None,
    n_concepts: Annotated[int, typer.Option(help="Stop after so many concepts.")] = 150,
    modality: Annotated[str, typer.Option(help="Modality that the bank states.")] = "",
    llm: Annotated[str | None, typer.Option(help="Name of a language model on an OpenAI-compatible server.")] = None,
    llm_url: LlmUrl = None,
    cache: Cache = CACHE,
    budget_calls: BudgetCalls = None,
    budget_usd: BudgetUsd = None,
    price: Rates = None,
) -> None:
    """Build a concept bank from a text corpus, with or without a language model.

    Example: `knobo bank build pneumonia heart_failure normal --corpus chest-xray --out bank.json`
    """
    from knobo.knowledge import build_bank, open_index

    source = corpus if encoder is None else open_index(corpus, encoder)
    model = None if llm is None else language_model(llm, llm_url, cache, budget_calls, budget_usd, price)
    bank = build_bank(classes, source, modality=modality, n_concepts=n_concepts, model=model, progress=interactive())
    bank.to_json(out)
    out_console.print(f"{len(bank)} concepts, {len(bank.prior)} prior signs: {out}", soft_wrap=True)
    if model is not None:
        print_totals(model)


@bank_app.command("show")
def bank_show(
    bank: Bank,
    concept: Annotated[str | None, typer.Option(help="Show one concept with all its sentences.")] = None,
) -> None:
    """Show the concepts of a bank, or all that is known of one.

    Example: `knobo bank show chest-xray --concept pleural-effusion`
    """
    from knobo.bank import load_bank

    loaded = load_bank(bank)
    if concept is None:
        frame = loaded.to_frame().reset_index()[["id", "name", "cui", "n_evidence", "source"]]
        print_frame(frame, f"{len(loaded)} concepts")
        return
    found = loaded[concept]
    out_console.print(f"{found.name}  {found.cui or 'no CUI'}  {found.question}")
    if found.synonyms:
        out_console.print(f"Also: {', '.join(found.synonyms)}")
    for evidence in found.evidence:
        out_console.print(f"  “{evidence.sentence}”\n    {evidence.source} ({evidence.passage_id})")
    for sign in loaded.prior:
        if sign.concept_id == concept:
            out_console.print(f"  {'+' if sign.sign > 0 else '−'} {sign.class_name} (confidence {sign.confidence:.2f})")


@bank_app.command("diff")
def bank_diff(before: Bank, after: Bank) -> None:
    """Say which concepts and prior signs differ between two banks.

    Example: `knobo bank diff old.json new.json`
    """
    from knobo.bank import load_bank

    changes = _changes(load_bank(before), load_bank(after))
    if changes.empty:
        out_console.print("Same concepts, same prior signs.")
    else:
        print_frame(changes, f"{len(changes)} differences")


@bank_app.command("merge")
def bank_merge(
    banks: Annotated[list[str], typer.Argument(help="Two or more banks of one modality; the first one's words win.")],
    out: Annotated[Path, typer.Option("--out", help="Where to write.")],
) -> None:
    """Join banks: all concepts, all evidence, the prior signs that they do not contradict each other on.

    Example: `knobo bank merge mine.json chest-xray --out joined.json`
    """
    from knobo.bank import load_bank

    first, *others = (load_bank(bank) for bank in banks)
    joined = first.merge(*others)
    joined.to_json(out)
    out_console.print(f"{len(joined)} concepts, {len(joined.prior)} prior signs: {out}", soft_wrap=True)


@bank_app.command("card")
def bank_card(
    bank: Bank,
    out: Annotated[Path | None, typer.Option("--out", help="Markdown file to write; without it the card is shown.")] = (
        None
    ),
) -> None:
    """Write the card of a bank: what is in it, where it comes from, what was rejected, who has reviewed it.

    Example: `knobo bank card chest-xray --out card.md`
    """
    from knobo.bank import load_bank
    from knobo.bank_card import bank_card
    from knobo.storage import write_text

    card = bank_card(load_bank(bank))
    if out is None:
        typer.echo(card, nl=False)
    else:
        out_console.print(f"Card: {write_text(out, card)}", soft_wrap=True)


@bank_app.command("validate")
def bank_validate(
    bank: Bank,
    corpus: Annotated[str, typer.Option(help="The corpus that it was built from.")],
) -> None:
    """Check that every cited sentence of a bank stands in the passage that it names.

    Example: `knobo bank validate bank.json --corpus chest-xray`
    """
    from knobo.bank import load_bank
    from knobo.knowledge import read_corpus

    loaded = load_bank(bank)
    texts = {passage.id: passage.text for passage in read_corpus(corpus)}
    cited = [e for part in (loaded.concepts, loaded.prior) for item in part for e in item.evidence]
    wrong = [e for e in cited if e.sentence not in texts.get(e.passage_id, "")]
    if wrong:
        raise InputError(
            f"{len(wrong)} of {len(cited)} cited sentences do not stand in their passage, first "
            f"“{wrong[0].sentence}” ({wrong[0].passage_id}). Is this the corpus that {bank} was built from?"
        )
    out_console.print(f"All {len(cited)} cited sentences of {len(loaded)} concepts stand in their passages.")


def _changes(before: ConceptBank, after: ConceptBank) -> pd.DataFrame:
    import pandas as pd

    rows = [("concept", name, "in the first only") for name in before.ids if name not in after]
    rows += [("concept", name, "in the second only") for name in after.ids if name not in before]
    old, new = ({(s.class_name, s.concept_id): s.sign for s in bank.prior} for bank in (before, after))
    for pair in sorted(old.keys() | new.keys()):
        if old.get(pair) != new.get(pair):
            change = f"{_SIGN[old.get(pair)]} → {_SIGN[new.get(pair)]}"
            rows.append(("prior sign", f"{pair[1]} for {pair[0]}", change))
    return pd.DataFrame(rows, columns=["what", "which", "change"])
