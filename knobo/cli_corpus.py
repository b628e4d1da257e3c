"""The commands ``knobo corpus …``: what there is, get it, index it, count it."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from knobo.cli_output import out_console
from knobo.errors import InputError
from knobo.storage import shipped_path

corpus_app = typer.Typer(help="Find, get, index and count text corpora.", no_args_is_help=True)

_LOCAL = {  # the file that marks a folder of ours, by the format that it names
    "knobo.corpus_download": "corpus.json",
    "knobo.pubmed_search": "manifest.json",
    "knobo.bm25": "manifest.json",
    "knobo.dense": "manifest.json",
}
_TOP = 10

Corpus = Annotated[str, typer.Argument(help="A shipped corpus (chest-xray, skin-lesion), a folder or a file.")]
KeepRetracted = Annotated[bool, typer.Option("--keep-retracted", help="Also read articles that were retracted.")]


@corpus_app.command("list")
def corpus_list(
    folder: Annotated[Path, typer.Option(help="Where to look for corpora and indexes that you made.")] = Path("."),
) -> None:
    """List the corpora that ship with knobo, those that it can get, and those in a folder.

    Example: `knobo corpus list --folder corpora`
    """
    from knobo.knowledge.recipes import list_recipes

    shipped = sorted(path.name for path in shipped_path("corpora", "textbook").iterdir() if path.is_dir())
    _print(
        "Corpora (get with `knobo corpus get NAME --out FOLDER`)",
        ("name", "what", "passages", "size"),
        [
            *((name, "Textbook that ships with knobo; nothing to get", "", "") for name in shipped),
            ("pubmed", "PubMed records that answer --query", "", ""),
            *(_row(recipe) for recipe in list_recipes()),
        ],
    )
    if local := list(_local(folder)):
        _print(f"In {folder}", ("folder", "what", "made"), local)


@corpus_app.command("get")
def corpus_get(
    name: Annotated[str, typer.Argument(help="A name that `knobo corpus list` shows, or a recipe file (YAML).")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    only: Annotated[list[str] | None, typer.Option(help="A file or an id to get; may be repeated.")] = None,
    query: Annotated[str | None, typer.Option(help="For pubmed: what to search for.")] = None,
    since: Annotated[int | None, typer.Option(help="For pubmed: first year.")] = None,
    max_results: Annotated[int | None, typer.Option(help="For pubmed: most records.")] = None,
    email: Annotated[str | None, typer.Option(help="For pubmed: whom NCBI may write to.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Address of a mirror.")] = None,
) -> None:
    """Get a corpus, going on where an earlier run stopped. A key for PubMed is read from NCBI_API_KEY.

    Example: `knobo corpus get pubmed --query "pneumothorax[majr] AND radiography" --max-results 1000 --out pubmed`
    """
    from knobo.knowledge.entrez import EUTILS, fetch_pubmed
    from knobo.knowledge.getters import get_corpus
    from knobo.knowledge.recipes import load_recipe

    if name == "pubmed":
        if query is None or only:
            raise InputError("Corpus pubmed is got by search: give --query, and leave --only out.")
        fetch_pubmed(
            query,
            out,
            since=since,
            max_results=max_results,
            email=email,
            base_url=base_url or EUTILS,
            progress=_interactive(),
        )
    elif query is not None or since is not None or max_results is not None or email is not None:
        raise InputError(f"--query, --since, --max-results and --email are for the corpus pubmed, not for {name}.")
    else:
        recipe = load_recipe(name)
        out_console.print(f"Licence: {recipe.licence or recipe.unknown['licence']}", soft_wrap=True, markup=False)
        get_corpus(recipe, out, only=only or None, base_url=base_url, progress=_interactive())
        out_console.print(f"Cite: {recipe.citation}", soft_wrap=True, markup=False)
    out_console.print(f"Corpus: {out}", soft_wrap=True, markup=False)


@corpus_app.command("add")
def corpus_add(
    path: Corpus,
    out: Annotated[Path, typer.Option("--out", help="Folder of the index.")],
    keep_retracted: KeepRetracted = False,
) -> None:
    """Read a corpus and write an index of it, which is used instead of reading it anew.

    Example: `knobo corpus add pubmed --out pubmed-index`
    """
    from knobo.knowledge.bm25 import Bm25Index
    from knobo.knowledge.corpus import read_corpus

    counts: Counter[str] = Counter()
    index = Bm25Index.build(read_corpus(path, keep_retracted=keep_retracted, counts=counts), out)
    out_console.print(f"{len(index)} passages: {out}", soft_wrap=True, markup=False)
    for what, n in _left_out(counts, keep_retracted):
        out_console.print(f"{what}: {n}", soft_wrap=True, markup=False)


@corpus_app.command("stats")
def corpus_stats(path: Corpus, keep_retracted: KeepRetracted = False) -> None:
    """Count the passages of a corpus, their sources, years, types and characters.

    Example: `knobo corpus stats chest-xray`
    """
    from knobo.knowledge.corpus import read_corpus

    n = characters = longest = 0
    years: Counter[int] = Counter()
    counts: dict[str, Counter[str]] = {"source": Counter(), "type": Counter(), "language": Counter()}
    read: Counter[str] = Counter()
    for passage in read_corpus(path, keep_retracted=keep_retracted, counts=read):
        n, characters, longest = n + 1, characters + len(passage.text), max(longest, len(passage.text))
        counts["source"][passage.source or "not stated"] += 1
        counts["type"].update(passage.kinds)
        counts["language"].update([passage.language] if passage.language else [])
        years.update([passage.year] if passage.year is not None else [])
    span = f"{min(years)} to {max(years)}, {n - years.total()} without" if years else "none stated"
    rows = [("passages", f"{n:,}"), ("characters", f"{characters:,}"), ("mean", f"{characters / n:.0f}")]
    rows += [
        ("longest", f"{longest:,}"),
        ("years", span),
        ("sources", f"{len(counts['source']):,}"),
        *_left_out(read, keep_retracted),
    ]
    _print(f"Corpus {path}", ("what", "value"), rows)
    for what, counter in counts.items():
        if counter:
            rest = len(counter) - _TOP
            title = f"Passages by {what}" + (f", the {_TOP} most frequent of {len(counter):,}" if rest > 0 else "")
            _print(title, (what, "passages"), [(name, f"{many:,}") for name, many in counter.most_common(_TOP)])


def _left_out(counts: Counter[str], keep_retracted: bool) -> Iterator[tuple[str, str]]:
    """What was found in PubMed XML and gave no passage."""
    told = {"superseded": "older versions left out", "deleted": "PMIDs listed as deleted"}
    told["retracted"] = f"retracted articles {'kept' if keep_retracted else 'left out'}"
    yield from ((words, f"{counts[what]:,}") for what, words in told.items() if counts[what])


def _row(recipe: Any) -> tuple[str, ...]:
    passages = f"{recipe.passages:,}" if recipe.passages else "not stated"
    what = recipe.title if recipe.instead is None else f"{recipe.title}: no files, get {recipe.instead}"
    return recipe.name, what, passages, recipe.size or "not stated"


def _local(folder: Path) -> Iterator[tuple[str, ...]]:
    """Folders that knobo wrote: the folder itself and those in it."""
    places = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())] if folder.is_dir() else []
    for place in places:
        for name in sorted(set(_LOCAL.values())):
            document = _document(place / name)
            if _LOCAL.get(str(document.get("format"))) == name:
                yield place.relative_to(folder).as_posix(), _what(document), str(document.get("date", ""))


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # some other program's file
        return {}
    return document if isinstance(document, dict) else {}


def _what(document: dict[str, Any]) -> str:
    if document["format"] == "knobo.corpus_download":
        return f"{document.get('recipe')}, {len(document.get('files', {}))} files"
    if document["format"] == "knobo.pubmed_search":
        return f"{len(document.get('pmids', []))} PMIDs: {document.get('query') or 'from a list'}"
    return "index (BM25)" if document["format"] == "knobo.bm25" else f"index (dense, {document.get('encoder')})"


def _print(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    table = Table(title=title, title_justify="left")
    for column, name in enumerate(columns):
        table.add_column(name, overflow="fold", no_wrap=not column and name == "name")
    for row in rows:
        table.add_row(*row)
    out_console.print(table, markup=False)


def _interactive() -> bool:
    return sys.stderr.isatty()
