"""Files of the UMLS format that the tests write: invented names, and identifiers C9900000 and up that are test data."""

import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knobo.errors import FileError, FormatError, InputError
from knobo.knowledge import umls
from knobo.knowledge.link import ConceptLinker
from knobo.knowledge.umls import iter_umls, read_umls

HEART, LUNG, SKIN = "C9900001", "C9900002", "C9900003"


def atom(cui, text, aui, *, lat="ENG", ts="S", stt="VO", ispref="N", sab="TEST", code="x", suppress="N"):
    fields = [cui, lat, ts, f"L{aui}", stt, f"S{aui}", ispref, f"A{aui}", "", "", "", sab, "PT", code, text, "0"]
    return "|".join([*fields, suppress, "", ""]) + "\n"


def preferred(cui, text, aui, **other):
    return atom(cui, text, aui, ts="P", stt="PF", ispref="Y", **other)


def kind(cui, tui="T990", name="Invented Finding"):
    return f"{cui}|{tui}|A1.2|{name}|AT{cui}||\n"


CONSO = [
    preferred(HEART, "Invented big heart", 1),
    atom(HEART, "Made-up heart enlargement", 2, sab="OTHER"),
    atom(HEART, "Old invented heart", 3, suppress="O"),
    atom(HEART, "Gros coeur fictif", 4, lat="FRE"),
    preferred(LUNG, "Invented white lung", 5, suppress="E"),
    atom(LUNG, "Fictitious lung shadow", 6, stt="PF"),
    atom(LUNG, "Fictitious lung cloud", 7, ts="P", ispref="Y"),
    preferred(SKIN, "Invented blue spot", 8),
]
STY = [
    kind(HEART),
    kind(HEART, "T991", "Invented Disease"),
    kind(SKIN, "T991", "Invented Disease"),
    kind("C9900009"),
]


def write(folder, conso=CONSO, sty=STY):
    (folder / "MRCONSO.RRF").write_bytes("".join(conso).encode())
    (folder / "MRSTY.RRF").write_bytes("".join(sty).encode())
    return folder


def test_a_concept_becomes_an_entry(tmp_path):
    heart, lung, skin = read_umls(write(tmp_path))
    assert (heart.id, heart.cui, heart.name, heart.source) == (HEART, HEART, "Invented big heart", "UMLS")
    assert heart.aliases == ("Made-up heart enlargement",)
    assert heart.semantic_types == ("T990 Invented Finding", "T991 Invented Disease")
    assert (skin.id, skin.semantic_types) == (SKIN, ("T991 Invented Disease",))
    assert lung.semantic_types == ()


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        (["T047"], "disease"),
        (["T191", "T074"], "disease"),
        (["T047", "T033"], "finding"),
        (["T074"], "device"),
        (["T023"], "finding"),
        ([], "finding"),
    ],
)
def test_the_kind_follows_from_the_semantic_types(tmp_path, types, expected):
    conso = [preferred(HEART, "Invented big heart", 1)]
    entry = read_umls(write(tmp_path, conso, [kind(HEART, tui) for tui in types] or [kind(SKIN)]))[HEART]
    assert entry.kind == expected


def test_the_kind_of_a_shipped_entry_goes_before_the_types(tmp_path):
    effusion = "C0032227"  # a disease in many terminologies, and a finding in the shipped knowledge base
    conso = [preferred(effusion, "Invented fluid", 1)]
    assert read_umls(write(tmp_path, conso, [kind(effusion, "T047")]))[effusion].kind == "finding"


def test_codes_of_open_vocabularies_are_kept(tmp_path):
    conso = [
        preferred(HEART, "Invented big heart", 1, sab="MSH", code="D999999"),
        atom(HEART, "Invented large heart", 2, sab="HPO", code="HP:9999999"),
        atom(HEART, "Invented huge heart", 3, sab="SNOMEDCT_US", code="123"),
        atom(HEART, "Invented wide heart", 4, sab="ICD10CM", code="I99.9"),
    ]
    assert read_umls(write(tmp_path, conso))[HEART].codes == ("MESH:D999999", "HP:9999999", "ICD10CM:I99.9")


def test_the_name_is_what_comes_closest_to_preferred(tmp_path):
    lung = read_umls(write(tmp_path))[LUNG]  # its preferred atom is suppressible; TS counts before STT
    assert (lung.name, lung.aliases) == ("Fictitious lung cloud", ("Fictitious lung shadow",))
    every = read_umls(tmp_path, suppress=False)
    assert every[LUNG].name == "Invented white lung"
    assert "Old invented heart" in every[HEART].aliases


@pytest.mark.parametrize("flag", ["O", "E", "Y"])
def test_suppressible_names_are_left_out(tmp_path, flag):
    conso = [preferred(SKIN, "Invented spot", 1), atom(SKIN, "Invented dot", 2, suppress=flag)]
    assert read_umls(write(tmp_path, conso))[SKIN].aliases == ()


def test_languages_count_in_the_order_given(tmp_path):
    write(tmp_path)
    assert read_umls(tmp_path, languages=["FRE", "ENG"])[HEART].name == "Gros coeur fictif"
    assert read_umls(tmp_path, languages=["ENG", "FRE"])[HEART].aliases[-1] == "Gros coeur fictif"
    assert [entry.id for entry in read_umls(tmp_path, languages=["FRE"])] == [HEART]


def test_sources_and_semantic_types_are_chosen(tmp_path):
    write(tmp_path)
    assert [entry.name for entry in read_umls(tmp_path, sources={"OTHER"})] == ["Made-up heart enlargement"]
    for wanted in ("T990", "Invented Finding", "T990 Invented Finding"):
        assert [entry.id for entry in read_umls(tmp_path, semantic_types=[wanted])] == [HEART]
    assert [entry.id for entry in read_umls(tmp_path, semantic_types={"T991"})] == [HEART, SKIN]


def test_gzip_carriage_returns_and_the_folder_meta(tmp_path):
    expected = read_umls(write(tmp_path)).entries
    other = tmp_path / "release" / "META"
    other.mkdir(parents=True)
    for name in ("MRCONSO.RRF", "MRSTY.RRF"):
        rows = (tmp_path / name).read_bytes().replace(b"\n", b"\r\n").rstrip()
        (other / f"{name}.gz").write_bytes(gzip.compress(rows))
    assert read_umls(other.parent).entries == expected


FIELD = st.text(st.characters(codec="utf-8", exclude_characters="|\n"), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(FIELD, min_size=1, max_size=5, unique=True), FIELD)
def test_any_text_comes_through_unchanged(tmp_path_factory, names, type_name):
    conso = [atom(SKIN, name, i) for i, name in enumerate(names)]
    entry = read_umls(write(tmp_path_factory.mktemp("umls"), conso, [kind(SKIN, "T999", type_name)]))[SKIN]
    assert [entry.name, *entry.aliases] == names
    assert entry.semantic_types == (f"T999 {type_name}",)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.permutations(CONSO), st.permutations(STY), st.sampled_from([2, 3, 5, 100]))
def test_the_order_of_rows_and_the_size_of_parts_do_not_matter(tmp_path_factory, conso, sty, part):
    expected = list(iter_umls(write(tmp_path_factory.mktemp("umls"))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(umls, "_PART", part)
        assert list(iter_umls(write(tmp_path_factory.mktemp("umls"), conso, sty))) == expected


def test_parts_on_disk_are_removed_even_when_reading_stops_early(tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(umls.tempfile, "tempdir", str(scratch))
    monkeypatch.setattr(umls, "_PART", 2)
    entries = iter_umls(write(tmp_path))
    assert next(entries).id == HEART
    assert len(list(scratch.iterdir())) == 2
    entries.close()
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (atom(SKIN, "x", 1).replace("|0|", "|"), r"MRCONSO.RRF, line 2: 18 fields"),
        (atom(SKIN, "x", 1)[:-6], r"line 2: 18 fields that each end in '\|' were expected"),
        (atom(SKIN, "x|y", 1), "line 2: 18 fields"),
        ("version https://git-lfs.github.com/spec/v1\n", "line 2: 18 fields"),
        (atom("9900003", "x", 1), "line 2: column CUI holds '9900003'"),
        (atom("C990000३", "x", 1), "line 2: column CUI"),
        (atom(SKIN, "x", 1, ispref="?"), "line 2: column ISPREF holds '\\?'"),
        (atom(SKIN, "x", 1, suppress=""), "line 2: column SUPPRESS holds ''"),
        (atom(SKIN, "", 1), "line 2: column STR holds ''"),
        (atom(SKIN, "x", 1, lat="FRE", suppress="z"), "line 2: column SUPPRESS"),  # rows that are left out count too
    ],
)
def test_a_broken_name_row_is_named(tmp_path, row, message):
    with pytest.raises(FormatError, match=message):
        read_umls(write(tmp_path, [CONSO[0], row]))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (f"{SKIN}|T990|A|\n", r"MRSTY.RRF, line 1: 6 fields"),
        (kind("x"), "line 1: column CUI holds 'x'"),
        (kind(SKIN, "990"), "line 1: column TUI holds '990'"),
        (kind(SKIN, name=""), "line 1: column STY holds ''"),
    ],
)
def test_a_broken_type_row_is_named(tmp_path, row, message):
    with pytest.raises(FormatError, match=message):
        read_umls(write(tmp_path, sty=[row]))


def test_text_that_is_not_utf8_and_cut_gzip_are_named(tmp_path):
    write(tmp_path)
    (tmp_path / "MRSTY.RRF").write_bytes(kind(HEART).encode() + b"C9900001|T9\xff|\n")
    with pytest.raises(FormatError, match=r"MRSTY.RRF, line 2: the text is not UTF-8"):
        read_umls(tmp_path)
    (tmp_path / "MRSTY.RRF").unlink()
    (tmp_path / "MRSTY.RRF.gz").write_bytes(gzip.compress("".join(STY).encode())[:-9])
    with pytest.raises(FormatError, match=r"MRSTY.RRF.gz, after line \d: broken gzip data .*copy complete"):
        read_umls(tmp_path)
    (tmp_path / "MRSTY.RRF.gz").write_bytes(b"no gzip")
    with pytest.raises(FormatError, match="broken gzip data"):
        read_umls(tmp_path)


def test_missing_and_unreadable_files_are_said(tmp_path, monkeypatch):
    with pytest.raises(FileError, match=r"holds no MRCONSO.RRF or MRCONSO.RRF.gz.*licence"):
        read_umls(tmp_path)
    (tmp_path / "MRCONSO.RRF").write_text(CONSO[0])
    with pytest.raises(FileError, match=r"holds no MRSTY.RRF"):
        read_umls(tmp_path)

    def fail(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(umls, "_open", fail)
    with pytest.raises(FileError, match=r"Cannot read .*\.RRF: Input/output error"):
        read_umls(write(tmp_path))


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(umls, "_PART", 2)

    def fail(row):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(umls.json, "dumps", fail)
    with pytest.raises(FileError, match=r"No space left on device.*TMPDIR"):
        read_umls(write(tmp_path))


def test_wrong_choices_are_said(tmp_path):
    write(tmp_path)
    with pytest.raises(InputError, match=r"No concept of .* is left with languages=\['XXX'\]"):
        read_umls(tmp_path, languages=["XXX"])
    with pytest.raises(InputError, match="languages is empty"):
        read_umls(tmp_path, languages=[])
    for name in ("languages", "sources", "semantic_types"):
        with pytest.raises(InputError, match=rf"{name} must be a list of texts, got 'T047'; write \['T047'\]"):
            read_umls(tmp_path, **{name: "T047"})


def test_an_export_is_linked_with_a_choice_of_types(tmp_path):
    linker = ConceptLinker(read_umls(write(tmp_path)), engine="knobo")
    best = linker.link("made up enlargement of heart", threshold=0.5)[0]
    assert (best.cui, best.name, best.semantic_types[0]) == (HEART, "Invented big heart", "T990 Invented Finding")
    assert linker.link("invented blue spot", semantic_types=["T990"]) == []
