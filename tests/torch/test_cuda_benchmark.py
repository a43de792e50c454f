"""The benchmark for a GPU runs without one too: every column is measured, and the table is right."""

from argparse import Namespace

import pytest

from benchmarks.cuda import COLUMNS, measure, table

SIZES = {"pixels": 84, "tokens": 6, "short": 3, "together": 3, "frames": 4, "seed": 1}


@pytest.mark.parametrize("side", ["galago q4", "transformers bf16"])
def test_every_column_of_a_side_is_measured(checkpoint, side):
    folder = str(checkpoint("qwen2_5_vl"))
    values = measure(Namespace(model=folder, device="torch-cpu", side=side, **SIZES))
    assert list(values) == list(COLUMNS)
    assert values.pop("gpu_peak_bytes") is None
    assert all(value > 0 for value in values.values())


def test_a_table_has_medians_and_ratios_to_the_reference():
    def sample(first_token_s, gpu_peak_bytes=None):
        rest = {key: 1.0 for key in COLUMNS if key not in ("first_token_s", "gpu_peak_bytes")}
        return rest | {"first_token_s": first_token_s, "gpu_peak_bytes": gpu_peak_bytes}

    record = {
        "samples": {
            "galago q4": [sample(0.1), sample(0.3), sample(0.2)],
            "galago q8": [],
            "transformers bf16": [sample(0.4, 8e9)],
        },
        "failures": {"galago q8": "out of memory"},
    }
    lines = table(record).splitlines()
    assert "0.200 (0.50x)" in lines[2]
    assert lines[3] == "| galago q8 | not measured: out of memory |"
    assert lines[4].endswith("| 8.00 |")
