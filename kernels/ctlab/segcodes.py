"""What a label's name means in the words that DICOM viewers and archives understand.

Codes are SNOMED CT's as DICOM publishes them (PS3.16, context groups 7150 and following, in pydicom's dictionary).
"""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.sr.codedict import codes

_ANATOMY, _ABNORMAL = codes.SCT.AnatomicalStructure, codes.SCT.MorphologicallyAbnormalStructure

_WORDS = (
    (("inflammation", "炎症"), _ABNORMAL, codes.SCT.Inflammation),
    (("sarcoma", "肉腫"), _ABNORMAL, codes.SCT.Sarcoma),
    (("tumour", "tumor", "腫瘍"), _ABNORMAL, codes.SCT.Neoplasm),
    (("lesion", "病変"), _ABNORMAL, codes.SCT.Lesion),
    (("pulmonary artery", "肺動脈"), _ANATOMY, codes.SCT.PulmonaryArtery),
    (("lung", "肺"), _ANATOMY, codes.SCT.Lung),
    (("liver", "肝"), _ANATOMY, codes.SCT.Liver),
    (("spleen", "脾"), _ANATOMY, codes.SCT.Spleen),
    (("kidney", "腎"), _ANATOMY, codes.SCT.Kidney),
    (("bladder", "膀胱"), _ANATOMY, codes.SCT.Bladder),
    (("heart", "心臓"), _ANATOMY, codes.SCT.Heart),
    (("aorta", "大動脈"), _ANATOMY, codes.SCT.Aorta),
    (("trachea", "気管"), _ANATOMY, codes.SCT.Trachea),
)
"""Words of a name, category, type; the first row with a word at the end of the name counts."""


@dataclass(frozen=True)
class Meaning:
    """Category and type of a segment (pydicom codes)."""

    category: object
    kind: object


def meaning(name: str) -> Meaning:
    """What a label called `name` stands for: the organ or finding that its name ends with, else just tissue.

    Only the end counts: "lung inflammation" is an inflammation, and a "liver-shaped shadow" no liver.
    """
    wanted = name.strip().lower()
    for words, category, kind in _WORDS:
        if any(
            wanted == word or wanted.endswith(f" {word}") or (not word.isascii() and wanted.endswith(_ja(word))) for word in words
        ):
            return Meaning(category, kind)
    return Meaning(codes.SCT.Tissue, codes.SCT.Tissue)


def _ja(word: str) -> tuple[str, ...]:
    """Japanese sets no spaces, and says 肝 or 肝臓."""
    return (word, f"{word}臓")
