"""Each dataset, in a miniature of the layout in which it is published, becomes a manifest."""

import gzip
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from knobo.errors import FileError, FormatError, InputError
from knobo.images import list_datasets, load_dataset, read_manifest, write_manifest

CHEXPERT = (
    "No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia,"
    "Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)
VINDR = (
    "Aortic enlargement,Atelectasis,Calcification,Cardiomegaly,Clavicle fracture,Consolidation,Edema,Emphysema,"
    "Enlarged PA,ILD,Infiltration,Lung Opacity,Lung cavity,Lung cyst,Mediastinal shift,Nodule/Mass,Pleural effusion,"
    "Pleural thickening,Pneumothorax,Pulmonary fibrosis,Rib fracture,Other lesion,COPD,Lung tumor,Pneumonia,"
    "Tuberculosis"
)


@pytest.fixture
def write(tmp_path):
    """Write a file below the root: text, or one small picture for each name of an image."""

    def write_files(files):
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                Image.new("L", (4, 4), 90).save(path, format="PNG")
            elif path.suffix == ".gz":
                path.write_bytes(gzip.compress(content.encode()))
            else:
                path.write_text(content, encoding="utf-8")
        return tmp_path

    return write_files


def chexpert_row(**answers):
    return ",".join(str(answers.get(name.replace(" ", "_"), "")) for name in CHEXPERT.split(","))


def names(frame, root):
    return [str(pd.io.common.stringify_path(path)).removeprefix(f"{root}/") for path in frame["image"]]


def test_nih_chestxray14(write):
    header = (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]\n"
    )
    rows = (
        "00000001_000.png,Cardiomegaly|Emphysema,0,1,57,M,PA,2682,2749,0.143,0.143\n"
        "00000002_000.png,No Finding,0,2,80,F,AP,2500,2048,0.171,0.171\n"
    )
    root = write(
        {
            "Data_Entry_2017_v2020.csv": header + rows,
            "train_val_list.txt": "00000001_000.png\n",
            "test_list.txt": "00000002_000.png\n",
            "images_001/images/00000001_000.png": None,
            "images_002/images/00000002_000.png": None,
        }
    )
    frame = load_dataset("nih-chestxray14", root)
    assert names(frame, root) == ["images_001/images/00000001_000.png", "images_002/images/00000002_000.png"]
    assert frame["split"].tolist() == ["train", "test"]
    assert frame["patient"].tolist() == ["1", "2"]
    assert frame["sex"].tolist() == ["M", "F"]
    assert frame["age"].tolist() == [57, 80]
    assert frame["view"].tolist() == ["PA", "AP"]
    assert frame["Emphysema"].tolist() == [1, 0]
    assert frame["No Finding"].tolist() == [0, 1]
    assert frame.columns.get_loc("No Finding") == len(frame.columns) - 15


def test_chexpert(write):
    header = f"Path,Sex,Age,Frontal/Lateral,AP/PA,{CHEXPERT}\n"
    train = (
        "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP,"
        f"{chexpert_row(No_Finding=1.0, Support_Devices=1.0)}\n"
        "CheXpert-v1.0-small/train/patient00002/study2/view2_lateral.jpg,Male,87,Lateral,,"
        f"{chexpert_row(Edema=-1.0, Fracture=0.0)}\n"
    )
    valid = (
        "CheXpert-v1.0-small/valid/patient64541/study1/view1_frontal.jpg,Male,73,Frontal,PA,"
        f"{chexpert_row(Edema=1.0)}\n"
    )
    root = write(
        {
            "train.csv": header + train,
            "valid.csv": header + valid,
            "train/patient00001/study1/view1_frontal.jpg": None,
            "train/patient00002/study2/view2_lateral.jpg": None,
            "valid/patient64541/study1/view1_frontal.jpg": None,
        }
    )
    frame = load_dataset("chexpert", root)
    assert names(frame, root)[2] == "valid/patient64541/study1/view1_frontal.jpg"
    assert frame["patient"].tolist() == ["patient00001", "patient00002", "patient64541"]
    assert frame["split"].tolist() == ["train", "train", "valid"]
    assert frame["view"].tolist() == ["AP", "Lateral", "PA"]
    np.testing.assert_array_equal(frame["Edema"], [np.nan, -1, 1])


@pytest.mark.parametrize("place", ["PNG", "PNG/PNG", "."])
def test_chexpert_plus(write, place):
    table = (
        "path_to_image,path_to_dcm,frontal_lateral,ap_pa,deid_patient_id,patient_report_date_order,report,"
        "section_findings,section_impression,age,sex,race,ethnicity,split\n"
        'train/patient42142/study5/view1_frontal.jpg,x.dcm,Frontal,AP,patient42142,5,"FINDINGS: Clear.\n'
        'IMPRESSION: Normal.",Clear.,Normal.,54.0,Male,White,Non-Hispanic,train\n'
    )
    label = json.dumps({"path_to_image": "train/patient42142/study5/view1_frontal.jpg", "Edema": 0.0, "Fracture": None})
    root = write(
        {
            "df_chexpert_plus_240401.csv": table,
            "chexbert_labels/report_fixed.json": label + "\n",
            f"{place}/train/patient42142/study5/view1_frontal.png": None,
        }
    )
    frame = load_dataset("chexpert-plus", root)
    row = frame.iloc[0]
    assert row["report"] == "FINDINGS: Clear.\nIMPRESSION: Normal."
    assert row["report_impression"] == "Normal."
    assert (row["patient"], row["study"], row["sex"], row["age"]) == ("patient42142", "study5", "M", 54)
    assert row["Edema"] == 0
    assert np.isnan(row["Fracture"])


@pytest.mark.parametrize("with_reports", [True, False])
def test_mimic_cxr_jpg(write, with_reports):
    folder, name = "files/p10/p10000032/s50414267", "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014"
    root = write(
        {
            "mimic-cxr-2.0.0-metadata.csv.gz": "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,"
            f"ViewPosition,Rows,Columns,StudyDate,StudyTime\n{name},10000032,50414267,CHEST,PA,3056,2544,21800506,2\n",
            "mimic-cxr-2.0.0-split.csv.gz": f"dicom_id,study_id,subject_id,split\n{name},50414267,10000032,validate\n",
            "mimic-cxr-2.0.0-chexpert.csv.gz": f"subject_id,study_id,{CHEXPERT}\n"
            f"10000032,50414267,{chexpert_row(Pneumonia=-1.0)}\n",
            f"{folder}/{name}.jpg": None,
        }
    )
    if with_reports:
        write({f"mimic-cxr-reports/{folder}.txt": "FINAL REPORT\n No pneumonia.\n"})
    frame = load_dataset("mimic-cxr-jpg", root)
    assert names(frame, root) == [f"{folder}/{name}.jpg"]
    assert frame[["patient", "study", "split", "view"]].iloc[0].tolist() == ["10000032", "50414267", "validate", "PA"]
    assert frame["Pneumonia"].tolist() == [-1]
    assert frame["report"].tolist() == ["FINAL REPORT\n No pneumonia."] if with_reports else "report" not in frame


def test_openi(write):
    report = """<?xml version="1.0" encoding="utf-8"?><eCitation><uId id="CXR1"/><MedlineCitation><Article><Abstract>
      <AbstractText Label="COMPARISON">None.</AbstractText><AbstractText Label="INDICATION"/>
      <AbstractText Label="FINDINGS">No effusion.</AbstractText>
      <AbstractText Label="IMPRESSION">Normal chest x-XXXX.</AbstractText></Abstract></Article></MedlineCitation>
      <MeSH><major>Calcified Granuloma/lung/upper lobe/right</major><major>Scoliosis</major>
      <automatic>scolioses</automatic></MeSH>
      <parentImage id="CXR1_1_IM-0001-3001"/><parentImage id="CXR1_1_IM-0001-4001"/></eCitation>"""
    root = write(
        {
            "NLMCXR_reports/ecgen-radiology/1.xml": report,
            "NLMCXR_png/CXR1_1_IM-0001-3001.png": None,
            "NLMCXR_png/CXR1_1_IM-0001-4001.png": None,
        }
    )
    frame = load_dataset("openi", root)
    assert frame["patient"].tolist() == ["CXR1", "CXR1"]
    assert frame["report"][0] == "COMPARISON: None.\nFINDINGS: No effusion.\nIMPRESSION: Normal chest x-XXXX."
    assert frame["report_findings"][0] == "No effusion."
    assert frame["mesh"][1] == "Calcified Granuloma/lung/upper lobe/right|Scoliosis"
    assert names(frame, root)[1] == "NLMCXR_png/CXR1_1_IM-0001-4001.png"


def test_vindr_cxr(write):
    def row(**seen):
        return ",".join(str(seen.get(name.replace(" ", "_"), 0)) for name in VINDR.split(","))

    votes = [row(COPD=1, Edema=1), row(COPD=1), row()]
    train = "".join(f"a1,R{n},{vote},{n % 2},0\n" for n, vote in enumerate(votes))
    root = write(
        {
            "annotations/image_labels_train.csv": f"image_id,rad_id,{VINDR},Other diseases,No finding\n{train}",
            "annotations/image_labels_test.csv": f"image_id,{VINDR},Other disease,No finding\nb2,{row()},1,0\n",
            "train/a1.dicom": None,
            "test/b2.dicom": None,
        }
    )
    frame = load_dataset("vindr-cxr", root)
    assert names(frame, root) == ["train/a1.dicom", "test/b2.dicom"]
    assert frame["COPD"].tolist() == [1, 0]
    assert frame["Edema"].tolist() == [0, 0]
    assert frame["Other diseases"].tolist() == [0, 1]
    assert "patient" not in frame


@pytest.mark.parametrize("base", ["Lung Segmentation Data/Lung Segmentation Data", "Lung Segmentation Data", "."])
def test_covid_qu(write, base):
    images = [f"{base}/{split}/{name}/images/x.png" for split, name in (("Train", "COVID-19"), ("Val", "Normal"))]
    masks = [f"{base}/Train/COVID-19/lung masks/x.png"]
    root = write(dict.fromkeys([*images, *masks, f"{base}/Test/Non-COVID/images/y.png"]))
    frame = load_dataset("covid-qu", root)
    assert frame[["label", "split"]].to_numpy().tolist() == [
        ["COVID-19", "train"],
        ["Normal", "valid"],
        ["Non-COVID", "test"],
    ]


@pytest.mark.parametrize("zipped", [True, False])
def test_chest_imagenome(write, tmp_path_factory, zipped):
    graph = {
        "image_id": "d1",
        "gender": "F",
        "age_decile": "50-60",
        "attributes": [
            {"bbox_name": "right lung", "attributes": [["anatomicalfinding|yes|lung opacity", "nlp|yes|abnormal"]]},
            {"bbox_name": "left lung", "attributes": [["anatomicalfinding|no|lung opacity"], ["disease|no|pneumonia"]]},
        ],
    }
    header = ",subject_id,study_id,dicom_id,path,ViewPosition\n"
    table = f"{header}0,10000001,50000001,d1,files/p10/p10000001/s50000001/d1.dcm,PA\n"
    other = f"{header}0,10000002,50000002,d2,files/p10/p10000002/s50000002/d2.dcm,AP\n"
    root = write(
        {
            f"silver_dataset/splits/{split}.csv": text
            for split, text in zip(("train", "valid", "test"), (table, other, header), strict=True)
        }
    )
    if zipped:
        with zipfile.ZipFile(root / "silver_dataset" / "scene_graph.zip", "w") as archive:
            archive.writestr("scene_graph/d1_SceneGraph.json", json.dumps(graph))
    else:
        write({"silver_dataset/scene_graph/d1_SceneGraph.json": json.dumps(graph)})
    mimic = tmp_path_factory.mktemp("mimic")
    for part in ("p10000001/s50000001/d1.jpg", "p10000002/s50000002/d2.jpg"):
        path = mimic / "files" / "p10" / part
        path.parent.mkdir(parents=True)
        Image.new("L", (4, 4)).save(path)
    frame = load_dataset("chest-imagenome", root, images=mimic)
    assert frame["split"].tolist() == ["train", "valid"]
    assert frame["sex"].tolist()[0] == "F"
    np.testing.assert_array_equal(frame["lung opacity"], [1, np.nan])
    np.testing.assert_array_equal(frame["pneumonia"], [0, np.nan])
    assert "abnormal" not in frame


def test_isic_2018_and_2019(write):
    header = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\n"
    stem = "ISIC2018_Task3"
    root = write(
        {
            f"{stem}_Training_GroundTruth/{stem}_Training_GroundTruth.csv": f"{header}ISIC_0024306,0.0,1.0,0,0,0,0,0\n",
            f"{stem}_Test_GroundTruth/{stem}_Test_GroundTruth.csv": f"{header}ISIC_0034524,1.0,0.0,0,0,0,0,0\n",
            f"{stem}_Training_LesionGroupings.csv": "image,lesion_id,diagnosis_confirm_type\n"
            "ISIC_0024306,HAM_0000550,serial imaging showing no change\n",
            f"{stem}_Training_Input/ISIC_0024306.jpg": None,
            f"{stem}_Test_Input/ISIC_0034524.jpg": None,
            "ISIC_2019_Training_GroundTruth.csv": "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK\n"
            "ISIC_0000000,0,0,0,0,0,0,0,1.0,0\nISIC_0000001,0,0,0,0,0,0,0,0,0\n",
            "ISIC_2019_Training_Metadata.csv": "image,age_approx,anatom_site_general,lesion_id,sex\n"
            "ISIC_0000000,55.0,anterior torso,,female\nISIC_0000001,,,BCN_0001,\n",
            "ISIC_2019_Training_Input/ISIC_0000000.jpg": None,
            "ISIC_2019_Training_Input/ISIC_0000001.jpg": None,
        }
    )
    frame = load_dataset("isic-2018", root)
    assert frame["label"].tolist() == ["NV", "MEL"]
    assert frame["split"].tolist() == ["train", "test"]
    assert frame["lesion"].tolist()[0] == "HAM_0000550"
    frame = load_dataset("isic-2019", root)
    assert frame["label"].tolist()[0] == "SCC"
    assert frame["label"].isna().tolist() == [False, True]
    assert frame["sex"].tolist()[0] == "F"
    assert frame["age"].tolist()[0] == 55


def test_isic_2020_and_a_collection_of_the_archive(write):
    root = write(
        {
            "ISIC_2020_Training_GroundTruth_v2.csv": "image_name,patient_id,lesion_id,sex,age_approx,"
            "anatom_site_general_challenge,diagnosis,benign_malignant,target\n"
            "ISIC_2637011,IP_7279968,IL_7972535,male,45.0,head/neck,unknown,benign,0\n",
            "train/ISIC_2637011.jpg": None,
            "metadata.csv": "isic_id,attribution,copyright_license,age_approx,anatom_site_general,diagnosis_1,"
            "diagnosis_3,image_type,lesion_id,sex\n"
            'ISIC_0000002,"Hospital Clínic, Barcelona",CC-BY-NC,60,lower extremity,Malignant,"Melanoma, NOS",'
            "dermoscopic,IL_1,male\n",
            "ISIC_0000002.jpg": None,
        }
    )
    frame = load_dataset("isic-2020", root)
    assert frame[["label", "patient", "location"]].iloc[0].tolist() == ["benign", "IP_7279968", "head/neck"]
    row = load_dataset("isic-archive", root).iloc[0]
    assert row[["label", "site", "benign_malignant", "licence"]].tolist() == [
        "Melanoma, NOS",
        "Hospital Clínic, Barcelona",
        "Malignant",
        "CC-BY-NC",
    ]


def test_ham10000(write):
    root = write(
        {
            "HAM10000_metadata.csv": "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset\n"
            "HAM_0000118,ISIC_0027419,bkl,histo,80.0,male,scalp,vidir_modern\n"
            "HAM_0000118,ISIC_0025030,bkl,histo,80.0,unknown,scalp,vidir_modern\n",
            "HAM10000_images_part_1/ISIC_0027419.jpg": None,
            "HAM10000_images_part_2/ISIC_0025030.jpg": None,
        }
    )
    frame = load_dataset("ham10000", root)
    assert frame["label"].tolist() == ["bkl", "bkl"]
    assert frame["lesion"].nunique() == 1
    assert frame["site"].tolist() == ["vidir_modern"] * 2
    assert frame["sex"].isna().tolist() == [False, True]


def test_bcn20000(write):
    root = write(
        {
            "bcn_20k_train.csv": "bcn_filename,age_approx,anatom_site_general,diagnosis,lesion_id,capture_date,"
            "sex,split\nBCN_0000000001.jpg,55.0,anterior torso,MEL,BCN_0003884,2012-05-16,male,train\n",
            "bcn_20k_train/BCN_0000000001.jpg": None,
        }
    )
    frame = load_dataset("bcn20000", root)
    assert frame[["label", "lesion", "split", "sex"]].iloc[0].tolist() == ["MEL", "BCN_0003884", "train", "M"]


def test_pad_ufes_20(write):
    header = (
        "patient_id,lesion_id,smoke,drink,background_father,background_mother,age,pesticide,gender,"
        "skin_cancer_history,cancer_history,has_piped_water,has_sewage_system,fitspatrick,region,diameter_1,diameter_2,"
        "diagnostic,itch,grew,hurt,changed,bleed,elevation,img_id,biopsed\n"
    )
    row = (
        "PAT_46,881,False,False,POMERANIA,POMERANIA,55,False,FEMALE,True,True,True,True,3.0,NECK,6.0,5.0,BCC,"
        "True,UNK,False,True,True,True,PAT_46_881_939.png,True\n"
    )
    root = write({"metadata.csv": header + row, "images/imgs_part_1/imgs_part_1/PAT_46_881_939.png": None})
    frame = load_dataset("pad-ufes-20", root)
    expected = ["BCC", "PAT_46", "F", "NECK", "True"]
    assert frame[["label", "patient", "sex", "location", "itch"]].iloc[0].tolist() == expected
    assert frame["grew"].isna().all()


def test_scin(write):
    root = write(
        {
            "dataset/scin_cases.csv": "case_id,source,release,year,age_group,sex_at_birth,fitzpatrick_skin_type,"
            "textures_raised_or_bumpy,textures_flat,condition_symptoms_itching,image_1_path,image_2_path,image_3_path,"
            "image_1_shot_type,image_2_shot_type,image_3_shot_type\n"
            "-42,SCIN,1.0.0,2023,AGE_30_TO_39,FEMALE,FST2,YES,,,dataset/images/-1.png,dataset/images/2.png,,CLOSE_UP,"
            "AT_DISTANCE,\n"
            "43,SCIN,1.0.0,2023,,OTHER_OR_UNSPECIFIED,,,,,dataset/images/3.png,,,CLOSE_UP,,\n",
            "dataset/scin_labels.csv": "case_id,weighted_skin_condition_label\n"
            "-42,\"{'Eczema': 0.69, 'Psoriasis': 0.31}\"\n43,{}\n",
            "dataset/images/-1.png": None,
            "dataset/images/2.png": None,
            "dataset/images/3.png": None,
        }
    )
    frame = load_dataset("scin", root)
    assert frame["patient"].tolist() == ["-42", "-42", "43"]
    assert frame["view"].tolist() == ["CLOSE_UP", "AT_DISTANCE", "CLOSE_UP"]
    assert frame["label"].tolist()[:2] == ["Eczema", "Eczema"]
    assert frame["label"].isna().tolist() == [False, False, True]
    assert frame["label_weight"].tolist()[0] == 0.69
    np.testing.assert_array_equal(frame["textures_raised_or_bumpy"], [1, 1, np.nan])
    np.testing.assert_array_equal(frame["textures_flat"], [0, 0, np.nan])


def test_ph2(write):
    table = (
        "||   Name || Histological Diagnosis || Clinical Diagnosis || Asymmetry | Pigment Network | Dots/Globules | "
        "Streaks | Regression Areas | Blue-Whitish Veil ||           Colors ||\r\n"
        "|| IMD003 ||                        ||                  0 ||         0 |               T |             A |"
        "       A |                A |                 A ||                4 ||\r\n"
        "|| IMD424 ||               Melanoma ||                  2 ||         2 |              AT |            AT |"
        "       P |                A |                 P ||       3  4  5  6 ||\r\n"
        "\r\nLegends for Colors: \r\n   1 - White;"
    )
    images = "PH2 Dataset images/{0}/{0}_Dermoscopic_Image/{0}.bmp"
    masks = "PH2 Dataset images/{0}/{0}_lesion/{0}_lesion.bmp"
    files = [text.format(name) for text in (images, masks) for name in ("IMD003", "IMD424")]
    root = write({"PH2_dataset.txt": table, **dict.fromkeys(files)})
    frame = load_dataset("ph2", root)
    assert names(frame, root) == files[:2]
    assert frame["label"].tolist() == ["common_nevus", "melanoma"]
    assert frame["histology"].tolist()[1] == "Melanoma"
    assert frame.loc[1, "asymmetry":"colors"].tolist() == [
        *("asymmetric_two_axes", "atypical", "atypical", "present", "absent", "present"),
        "light_brown|dark_brown|blue_gray|black",
    ]


def test_derm7pt(write):
    header = (
        "case_num,diagnosis,seven_point_score,pigment_network,streaks,pigmentation,regression_structures,"
        "dots_and_globules,blue_whitish_veil,vascular_structures,level_of_diagnostic_difficulty,elevation,location,sex,"
        "management,clinic,derm,case_id,notes\n"
    )
    rest = "absent,absent,absent,absent,irregular,absent,absent,low,flat,back,female,excision"
    rows = (
        f"1,basal cell carcinoma,1,{rest},NEL/Nel025.jpg,NEL/Nel026.jpg,,\n2,clark nevus,0,{rest},A/1.jpg,A/2.jpg,,\n"
    )
    root = write(
        {
            "meta/meta.csv": header + rows,
            "meta/train_indexes.csv": "indexes\n1\n",
            "meta/valid_indexes.csv": "indexes\n",
            "meta/test_indexes.csv": "indexes\n0\n",
            **dict.fromkeys(f"images/{name}.jpg" for name in ("NEL/Nel025", "NEL/Nel026", "A/1", "A/2")),
        }
    )
    frame = load_dataset("derm7pt", root)
    assert names(frame, root)[:2] == ["images/NEL/Nel026.jpg", "images/NEL/Nel025.jpg"]
    assert frame["view"].tolist() == ["dermoscopic", "clinical"] * 2
    assert frame["split"].tolist() == ["test", "test", "train", "train"]
    assert frame["patient"].tolist() == ["1", "1", "2", "2"]
    assert frame["dots_and_globules"].unique().tolist() == ["irregular"]


HAM = "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset\n"


def test_a_manifest_that_was_written_is_read(write, tmp_path_factory):
    rows = "HAM_1,ISIC_1,nv,histo,40.0,male,back,rosendahl\nHAM_2,ISIC_2,mel,histo,,female,face,rosendahl\n"
    root = write({"HAM10000_metadata.csv": HAM + rows, "a/ISIC_1.jpg": None, "b/ISIC_2.jpg": None})
    frame = load_dataset("ham10000", root)
    for folder in (root, tmp_path_factory.mktemp("elsewhere")):
        path = write_manifest(frame, folder / "manifest.csv")
        data = read_manifest(path, label="label", group="lesion")
        assert [p.resolve() for p in data.paths] == [(root / n).resolve() for n in ("a/ISIC_1.jpg", "b/ISIC_2.jpg")]
        assert data.labels.tolist() == ["nv", "mel"]
        np.testing.assert_array_equal(data.frame["age"], [40, np.nan])
    assert pd.read_csv(root / "manifest.csv")["image"].tolist() == ["a/ISIC_1.jpg", "b/ISIC_2.jpg"]


def test_findings_of_a_written_manifest_are_concepts(write):
    header = f"Path,Sex,Age,Frontal/Lateral,AP/PA,{CHEXPERT}\n"
    rows = [
        f"CheXpert-v1.0/train/patient0000{n}/study1/v.jpg,Male,50,Frontal,AP,{chexpert_row(Edema=edema)}\n"
        for n, edema in enumerate((1.0, 0.0, -1.0, ""))
    ]
    root = write(
        {"train.csv": header + "".join(rows), **{f"train/patient0000{n}/study1/v.jpg": None for n in range(4)}}
    )
    path = write_manifest(load_dataset("chexpert", root), root / "manifest.csv")
    data = read_manifest(path, concepts=["Edema"], group="patient")
    np.testing.assert_array_equal(data.concepts["Edema"], [1, 0, np.nan, np.nan])


def test_missing_images_are_named_or_dropped(write):
    root = write({"HAM10000_metadata.csv": f"{HAM}L1,ISIC_1,nv,,,,,\nL2,ISIC_2,mel,,,,,\n", "ISIC_1.jpg": None})
    with pytest.raises(FileError, match=r'HAM10000: 1 of 2 images are not in .*ISIC_2\.jpg.*doi\.org.*missing="drop"'):
        load_dataset("ham10000", root)
    assert load_dataset("ham10000", root, missing="drop")["label"].tolist() == ["nv"]
    (root / "ISIC_1.jpg").unlink()
    with pytest.raises(FileError, match=r"2 of 2 images are not in .*give that folder as images\.$"):
        load_dataset("ham10000", root, missing="drop")
    with pytest.raises(InputError, match="missing must be 'error' or 'drop', got 'no'"):
        load_dataset("ham10000", root, missing="no")


@pytest.mark.parametrize("name", list_datasets().index)
def test_a_missing_table_says_where_the_dataset_is_had_and_on_which_terms(name, tmp_path):
    card = list_datasets().loc[name]
    with pytest.raises(FileError) as caught:
        load_dataset(name, tmp_path)
    for part in (card["title"], card["page"], card["access"], str(tmp_path)):
        assert part in str(caught.value)
    with pytest.raises(FileError, match=r"there is no folder .*nowhere"):
        load_dataset(name, tmp_path / "nowhere")


def test_other_columns_and_names_are_explained(write):
    root = write({"HAM10000_metadata.csv": "name,dx\na,nv\n"})
    with pytest.raises(FormatError, match=r"HAM10000: its table lacks the column 'image_id'; it has name, dx"):
        load_dataset("ham10000", root)
    with pytest.raises(InputError, match=r"no dataset 'HAM'\. Did you mean 'ham10000'\? The names are nih-chestxray14"):
        load_dataset("HAM", root)
