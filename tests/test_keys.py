"""Keys of a result: read into rows and written again, whatever their names hold."""

import json
from dataclasses import replace

import pytest
from made_results import make_result

from lookwhy.cli.analyze import main
from lookwhy.keys import FIELDS, Row, parse, table

FORMS = [
    ("accuracy/overall", Row("accuracy", measure="overall"), "value"),
    ("accuracy/overall/ci_low", Row("accuracy", measure="overall"), "ci_low"),
    ("accuracy/answer_type/yes/no", Row("accuracy", measure="answer_type", group="yes/no"), "value"),
    ("accuracy/answer_type/y/n", Row("accuracy", measure="answer_type", group="y/n"), "value"),
    ("accuracy/question_type/what is the", Row("accuracy", "", "question_type", "what is the"), "value"),
    ("failure/all/n", Row("failure", "all", "n"), "value"),
    ("failure/flips/majority_accuracy", Row("failure", "flips", "majority_accuracy"), "value"),
    ("failure/all/risk_coverage", Row("failure", "all", "risk_coverage"), "value"),
    ("image/occlusion/mean_map/n_undefined", Row("image", "occlusion", "mean_map"), "n_undefined"),
    ("image/human/rank_correlation/ci_high", Row("image", "human", "rank_correlation"), "ci_high"),
    ("image/rise/localisation/pointing_game", Row("image", "rise", "localisation/pointing_game"), "value"),
    ("question/lime/faithfulness/deletion/n", Row("question", "lime", "faithfulness/deletion"), "n"),
    ("image/occlusion/sanity/weights/rank_correlation/ci_low",
     Row("image", "occlusion", "sanity/rank_correlation", "weights"), "ci_low"),
    ("question/gradient/most_important/noun/expected",
     Row("question", "gradient", "most_important", "noun"), "expected"),
    ("question/gradient/most_important/noun/expected_by_place",
     Row("question", "gradient", "most_important", "noun"), "expected_by_place"),
    ("question/gradient/most_important/noun/p_value",
     Row("question", "gradient", "most_important", "noun"), "p_value"),
    ("image/occlusion/specificity/macro/ci_high", Row("image", "occlusion", "specificity/macro"), "ci_high"),
    ("image/occlusion/specificity/images", Row("image", "occlusion", "specificity"), "images"),
    ("image/rise/localisation/mass_accuracy_with_agreement/n",
     Row("image", "rise", "localisation/mass_accuracy_with_agreement"), "n"),
    ("agreement_with/faithfulness/correlation/ci_low",
     Row("agreement_with", measure="faithfulness/correlation"), "ci_low"),
    ("modality/text_share", Row("modality", measure="text_share"), "value"),
    ("selective/confidence/coverage_at_risk/n", Row("selective", "confidence", "coverage_at_risk"), "n"),
    ("unheard/of", Row("unheard", measure="of"), "value"),
    ("alone", Row("alone"), "value"),
]  # fmt: skip


SLICES = [None, ("answer_type", "yes/no"), ("question_type", "is the image"), ("by", "image")]
CASES = [
    (*one, part) for one in FORMS for part in SLICES if not part or one[1].domain not in ("unheard", "alone")
]


@pytest.mark.parametrize(("key", "row", "field", "part"), CASES)
def test_a_key_of_any_form_is_read_and_written_again(key, row, field, part):
    whole = f"slice/{part[0]}/{part[1]}/{key}" if part else key
    found, its_field = parse(whole)
    assert (found, its_field) == (replace(row, slice=part), field)
    assert found.key + (f"/{field}" if field != "value" else "") == whole


def written(rows: list[Row]) -> dict[str, float]:
    """The scalars of rows by their keys."""
    scalars = {row.key: row.value for row in rows}
    scalars |= {f"{row.key}/{field}": getattr(row, field) for row in rows for field in FIELDS}
    return {key: value for key, value in scalars.items() if value is not None}


def test_every_scalar_of_a_real_result_and_of_its_slices_comes_back(tiny_checkpoint, tmp_path):
    assert main([str(tiny_checkpoint), "--out", str(tmp_path), "--limit", "24"]) == 0
    (file,) = tmp_path.glob("**/summary.json")
    summary = json.loads(file.read_text())
    assert len(summary) > 150
    summary |= {f"slice/answer_type/yes/no/{key}": value / 2 for key, value in summary.items()}
    rows = table(summary)
    assert written(rows) == summary
    assert {row.domain for row in rows} == {
        "image",
        "question",
        "failure",
        "accuracy",
        "agreement_with",
        "paired",
    }
    assert len({row.key for row in rows}) == len(rows)


def test_a_row_holds_value_interval_and_counts_of_its_measurement():
    summary = make_result().summary
    rows = {row.key: row for row in table(summary)}
    found = rows["image/occlusion/rank_correlation"]
    assert (found.value, found.ci_low, found.ci_high) == pytest.approx((0.27, 0.24, 0.30))
    assert (found.n, found.n_undefined, found.expected) == (300, 4, None)
    undefined = rows["question/gradient/most_important/existential"]
    assert (undefined.value, undefined.n) == (None, 0)
