"""The command line: listings, JSON, errors in one line, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from forecast_core import create_model, registry
from forecast_core.cli.app import run
from forecast_core.cli.output import split
from forecast_core.cli.sources import parse_value
from forecast_core.series.sample import sample_panel


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    sample_panel(rows=120).to_frame(backend="pandas").to_csv(path, index=False)
    return path


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    create_model("series/seasonal-naive", seasonality=24, horizon=6).save(path)
    return path


def out(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert run(arguments) == code, capsys.readouterr().err
    return capsys.readouterr().out


COLUMNS = ("--item-id", "item_id", "--timestamp", "timestamp", "--target", "target")


def test_models_are_listed_as_a_table_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert "series/naive" in out(capsys, "models")
    listed = json.loads(out(capsys, "models", "--json"))
    assert {"series/naive", "series/seasonal-naive"} <= {m["id"] for m in listed}
    assert all(m["installed"] for m in listed if m["task"] == "series" and m["id"].startswith("series/"))


def test_models_of_no_task_are_refused_with_near_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "--task", "serie"]) == 1
    assert "did you mean 'series'" in capsys.readouterr().err


def test_no_arguments_show_the_help_and_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    assert capsys.readouterr().err == ""


def test_describe_shows_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--seasonality" in out(capsys, "describe", "series/seasonal-naive")
    found = json.loads(out(capsys, "describe", "series/seasonal-naive", "--json"))
    assert [f["name"] for f in found["fields"]] == ["horizon", "seasonality"]


def test_plugins_and_datasets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert "series" in [p["name"] for p in json.loads(out(capsys, "plugins", "--json"))["plugins"]]
    assert isinstance(json.loads(out(capsys, "datasets", "--json")), list)


def test_predict_prints_writes_and_gives_json(
    capsys: pytest.CaptureFixture[str], saved: Path, table: Path, tmp_path: Path
) -> None:
    base = ("predict", str(saved), "--data", str(table), *COLUMNS)
    assert "item-0" in out(capsys, *base)
    assert json.loads(out(capsys, *base, "--json"))["kind"] == "mixture"
    written = tmp_path / "forecast.csv"
    out(capsys, *base, "--output", str(written))
    assert len(written.read_text().splitlines()) == 1 + 3 * 6
    both = tmp_path / "forecast.json"
    assert json.loads(out(capsys, *base, "--output", str(both), "--json")) == json.loads(both.read_text())


def test_compare_ranks_saved_and_named_models(
    capsys: pytest.CaptureFixture[str], saved: Path, table: Path, tmp_path: Path
) -> None:
    report = tmp_path / "r.html"
    found = json.loads(
        out(
            capsys,
            *("compare", str(saved), "series/naive", "--data", str(table), *COLUMNS),
            *("--start", "2024-01-04", "--horizon", "6", "--metrics", "mae,coverage@0.5,0.9"),
            *("--report", str(report), "--json"),
        )
    )
    assert [s["label"] for s in found["scores"]] == ["series/seasonal-naive", "series/naive"]
    assert set(found["scores"][0]["metrics"]) == {"mae", "coverage@0.5", "coverage@0.9"}
    assert "<svg" in report.read_text()
    assert json.loads(report.with_suffix(".json").read_text())["baseline"] == "series/seasonal-naive"


def test_evaluate_needs_a_start_where_the_model_tells_none(
    capsys: pytest.CaptureFixture[str], saved: Path, table: Path
) -> None:
    base = ("evaluate", str(saved), "--data", str(table), *COLUMNS)
    assert run(base) == 1
    assert "--start" in capsys.readouterr().err
    assert "series/seasonal-naive" in out(capsys, *base, "--start", "2024-01-04")


def test_check_reports_and_sets_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(out(capsys, "check", "series/naive", "--json"))
    assert not found["failed"]
    assert json.loads(out(capsys, "check", "series/naive", "--horizon", "2", "--json"))["run"] == found["run"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("describe", "series/naiv"), 1, "did you mean 'series/naive'"),
        (("describe",), 2, "model"),
        (("nonsense",), 2, "nonsense"),
        (("models", "--nonsense"), 2, "--nonsense"),
        (("predict", "nowhere", "--data", "x.csv"), 1, "nowhere"),
        (("train", "series/naive", "--data", "x.csv", "--horizn", "3"), 2, "did you mean '--horizon'"),
        (("train", "series/naive"), 2, "--data"),
        (("train", "series/naive", "--data", "x.csv"), 2, "--horizon"),
        (("train", "series/naive", "--data", "x.csv", "--ratios", "a,b"), 2, "--ratios"),
        (("train", "series/naive", "--data", "x.csv", "--horizon", "3", "--metrics", "maee"), 2, "mae"),
        (("compare", "series/naive:horizon", "--data", "x.csv"), 1, "x.csv"),
        (("compare", "series/naive", "--data", "x.csv", "--refit-validation", "0.3"), 2, "--refit is given"),
        (("predict", "nowhere", "--data", "x.csv", "--horizon", "0"), 2, "--horizon"),
        (("predict", "nowhere", "--data", "x.csv", "--tz", "Mars/X"), 2, "DataConfig.tz"),
        (("predict", "nowhere", "--data", "x.csv", "--freq", "fortnight"), 2, "DataConfig.freq"),
        (("predict", "nowhere", "--data", "x.csv", "--target", ""), 2, "DataConfig.target"),
        (
            ("predict", "nowhere", "--data", "x.csv", "--layout", "wide", "--item-id", "z"),
            2,
            "item_id: is an",
        ),
        (("predict", "nowhere", "--data", "x.csv", "--layout", "wide", "--target", "a,b"), 2, "is one name"),
        (
            ("predict", "nowhere", "--data", "x.csv", "--layout", "wide", "--static-covariates", "q"),
            2,
            "static_covariates: is an option of the long layout",
        ),
        (("registry", "list", "--uri", "banana"), 2, "uri"),
    ],
)
def test_errors_are_one_line_with_a_hint(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, says: str
) -> None:
    assert run(arguments) == code
    printed = capsys.readouterr().err.strip()
    assert says in printed
    assert printed.count("\n") == 0
    assert "Traceback" not in printed


def test_missing_columns_are_named_with_near_misses(
    capsys: pytest.CaptureFixture[str], saved: Path, table: Path
) -> None:
    assert run(("predict", str(saved), "--data", str(table), "--timestamp", "timestmp")) == 1
    assert "did you mean 'timestamp'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-3", 0.001),
        ("none", None),
        ("true", True),
        ("168,336", [168, 336]),
        ("hour_sin,hour_cos", ["hour_sin", "hour_cos"]),
        ("[1, 2]", [1, 2]),
        ("quantile", "quantile"),
    ],
)
def test_option_values_are_read_as_what_they_are(text: str, value: object) -> None:
    assert parse_value(text) == value


def test_metric_lists_keep_the_levels_of_a_metric_together() -> None:
    assert split("mae, coverage@0.5,0.9 ,rmse@1-3") == ("mae", "coverage@0.5,0.9", "rmse@1-3")
    assert split(None) == ()


def test_the_script_lists_models_without_torch() -> None:
    code = (
        "import sys; from forecast_core.cli.app import run; run(['models', '--json']);"
        "assert not [m for m in ('torch', 'pandas', 'sklearn', 'scipy') if m in sys.modules]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_nothing_is_given_beside_a_run_that_is_resumed(
    capsys: pytest.CaptureFixture[str], table: Path, tmp_path: Path
) -> None:
    out(
        capsys,
        *("train", "series/seasonal-naive", "--data", str(table), *COLUMNS, "--horizon", "6"),
        *("--runs", str(tmp_path / "runs")),
    )
    (run_folder,) = (tmp_path / "runs").iterdir()
    base = ("train", "--resume", str(run_folder))
    for beside, named in (
        (("--seed", "9"), "--seed"),
        (("--cv", "5"), "--cv"),
        (("--horizon", "3"), "--horizon"),
        (("--data", str(table)), "--data"),
        (("--foo", "bar"), "--foo bar"),
        (("series/naive",), "series/naive"),
    ):
        assert run((*base, *beside)) != 0
        printed = capsys.readouterr().err.strip()
        assert named in printed
        assert "beside --resume" in printed
        assert printed.count("\n") == 0
    assert "series/seasonal-naive" in out(capsys, *base)


def test_metrics_at_several_steps_are_compared(
    capsys: pytest.CaptureFixture[str], saved: Path, table: Path
) -> None:
    base = ("compare", str(saved), "series/naive", "--data", str(table), *COLUMNS)
    found = json.loads(
        out(capsys, *base, "--start", "2024-01-04", "--horizon", "6", "--metrics", "mae@1,3", "--json")
    )
    assert set(found["scores"][0]["metrics"]) == {"mae@1", "mae@3"}
    assert found["loss"] == "mae@1"


def test_a_dataset_takes_no_options_of_tables(
    capsys: pytest.CaptureFixture[str], saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "available_datasets", lambda: ["toys/box"])
    monkeypatch.setattr(registry, "load_dataset", lambda name: sample_panel(rows=120))
    base = ("predict", str(saved), "--data", "toys/box")
    assert "item-0" in out(capsys, *base, "--timestamp", "timestamp")
    for option, value in (("--freq", "W"), ("--layout", "wide"), ("--item-id", "nope")):
        assert run((*base, option, value)) == 2
        assert "is an option of tables" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("metrics", "loss"), [("r2", "crps"), ("coverage@0.9", "crps"), ("r2,mae@3", "mae@3")]
)
def test_metrics_of_which_more_is_better_are_told_and_another_is_tested(
    capsys: pytest.CaptureFixture[str], saved: Path, table: Path, metrics: str, loss: str
) -> None:
    base = ("evaluate", str(saved), "--data", str(table), *COLUMNS, "--start", "2024-01-04")
    found = json.loads(out(capsys, *base, "--metrics", metrics, "--json"))
    assert found["metrics"] == metrics.split(",")
    assert found["loss"] == loss


@pytest.mark.parametrize("wrong", [("--seed", "99999999999"), ("--track", "ftp://x")])
def test_what_is_wrong_with_a_run_is_told_before_its_folder_is_made(
    capsys: pytest.CaptureFixture[str], table: Path, tmp_path: Path, wrong: tuple[str, str]
) -> None:
    runs = tmp_path / "runs"
    base = ("train", "series/naive", "--data", str(table), *COLUMNS, "--horizon", "6", "--runs", str(runs))
    assert run((*base, *wrong)) == 2
    assert not runs.exists()
