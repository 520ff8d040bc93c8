"""Run configurations from files: what is composed is validated, every wrong field named with its path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from forecast_core.cli.app import run
from forecast_core.config import RunConfig
from forecast_core.errors import ConfigError
from forecast_core.run_files import compose_run_configs, read_run_config, read_run_configs, sweeps
from forecast_core.series.sample import sample_panel

FIELDS: dict[str, Any] = {
    "model": "series/seasonal-naive",
    "params": {"horizon": 6, "seasonality": 24},
    "data": {"source": "table.csv", "item_id": "item_id", "freq": "h"},
    "seed": 3,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of groups, with a table beside it."""
    sample_panel(rows=300).to_frame(backend="pandas").to_csv(tmp_path / "table.csv", index=False)
    files = {
        "config": "defaults:\n  - model: seasonal\n  - data: table\n  - _self_\nseed: 3\n",
        "model/seasonal": "# @package _global_\nmodel: series/seasonal-naive\n"
        "params: {horizon: 6, seasonality: 24}\n",
        "model/naive": "# @package _global_\nmodel: series/naive\nparams: {horizon: 6}\n",
        "data/table": f"# @package data\nsource: {tmp_path}/table.csv\nitem_id: item_id\nfreq: h\n",
    }
    for name, text in files.items():
        file = tmp_path / "conf" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "conf"


@pytest.mark.parametrize("suffix", ["json", "yaml", "yml"])
def test_yaml_and_json_say_the_same(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"run.{suffix}"
    file.write_text(json.dumps(FIELDS))  # JSON is YAML too
    assert read_run_config(file) == RunConfig(**FIELDS)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["h", "D", "5min"]), st.integers(1, 99))
def test_a_configuration_written_and_read_back_is_the_same(seed: int, freq: str, horizon: int) -> None:
    import tempfile

    config = RunConfig(
        model="series/naive", params={"horizon": horizon}, data={"source": "x.csv", "freq": freq}, seed=seed
    )
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "run.json"
        file.write_text(config.model_dump_json())
        assert read_run_config(file) == config


def test_overrides_change_nested_fields_and_add_and_delete(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text(json.dumps(FIELDS))
    changed = read_run_config(
        file,
        [
            "seed=7",
            "data.freq=D",
            "~params.seasonality",
            "+params.horizon=9",
            "metrics=[mae,coverage@0.9]",
            "data.tz='UTC'",
        ],
    )
    assert changed.seed == 7
    assert changed.data.freq == "D"
    assert changed.data.tz == "UTC"
    assert changed.params == {"horizon": 9}
    assert changed.metrics == ("mae", "coverage@0.9")


def test_sweeps_are_every_combination() -> None:
    assert sweeps([]) == [[]]
    assert sweeps(["a=1", "b=x,y", "c=range(0,3)"]) == [
        ["a=1", f"b={b}", f"c={c}"] for b in ("x", "y") for c in (0, 1, 2)
    ]
    with pytest.raises(ConfigError, match="list or a range"):
        sweeps(["a=interval(0,1)"])


def test_hydra_composes_groups_overrides_and_sweeps(folder: Path) -> None:
    (one,) = compose_run_configs(folder)
    assert one.model == "series/seasonal-naive"
    assert one.data.item_id == "item_id"
    assert one.seed == 3
    (other,) = compose_run_configs(folder, overrides=["model=naive", "seed=4"])
    assert (other.model, other.params, other.seed) == ("series/naive", {"horizon": 6}, 4)
    many = compose_run_configs(folder, overrides=["model=naive,seasonal", "seed=0,1"], multirun=True)
    assert [(c.model, c.seed) for c in many] == [
        (model, seed) for model in ("series/naive", "series/seasonal-naive") for seed in (0, 1)
    ]


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["+data.frq=h"], "RunConfig.data.frq"),
        (["seed=minus"], "RunConfig.seed"),
        (["+data.layout=tall"], "RunConfig.data.layout"),
        (["colour=red"], "colour"),
        (["model=gru"], "gru"),
        (["seed=0,1"], "--multirun"),
        (["seed=[1"], "overrides"),
        (["+data._target_=os.system"], "RunConfig.data._target_"),
    ],
)
def test_what_is_wrong_is_named_with_its_path(folder: Path, overrides: list[str], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose_run_configs(folder, overrides=overrides)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[1, 2]", "mapping"),
        ("{", "readable"),
        ('{"model": "a/b"}', "RunConfig.data"),
        ('{"model": "a/b", "data": {"source": "x"}, "sed": 1}', "did you mean 'seed'"),
    ],
)
def test_files_that_are_no_configuration_are_refused(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "run.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=told.replace("'", ".")):
        read_run_config(file)
    with pytest.raises(ConfigError, match="is a file of the folder"):
        compose_run_configs(tmp_path)


def test_overrides_that_fit_nothing_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text(json.dumps(FIELDS))
    for wrong in ("seed.deep=1", "~params.colour", "seed=1,2"):
        with pytest.raises(ConfigError, match="overrides"):
            read_run_config(file, [wrong])
    assert [c.seed for c in read_run_configs(file, ["seed=1,2"])] == [1, 2]


def test_a_run_folder_reproduces_itself(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = ["--runs", str(tmp_path / "runs"), "--json"]
    assert run(["train", "--config-dir", str(folder), *runs, "seed=5"]) == 0
    first = json.loads(capsys.readouterr().out)
    kept = Path(first["run"]) / "run.json"
    assert read_run_config(kept).seed == 5
    assert run(["train", "--config", str(kept), *runs]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["scores"][0]["metrics"] == first["scores"][0]["metrics"]
    assert again["run"] != first["run"]
    assert run(["train", "--config", str(kept), *runs, "--multirun", "params.horizon=6,12"]) == 0
    many = json.loads(capsys.readouterr().out)
    assert [each["horizon"] for each in many] == [6, 12]


@pytest.mark.parametrize("beside", [["--seed", "3"], ["--data", "x.csv"], ["--ratios", "0.7,0.2,0.1"]])
def test_options_beside_a_configuration_are_refused_not_ignored(
    folder: Path, tmp_path: Path, beside: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["train", "--config-dir", str(folder), "--runs", str(tmp_path / "runs"), *beside])
    assert code == 2
    assert beside[0] in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_cross_validation_on_the_command_line_is_that_of_python(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import forecast_core as fc

    assert (
        run(["train", "--config-dir", str(folder), "--cv", "purged:3", "--json", "+metrics=[mae,crps]"]) == 0
    )
    told = json.loads(capsys.readouterr().out)
    panel = sample_panel(rows=300)
    by_hand = fc.cross_validate(
        "series/seasonal-naive",
        panel,
        fc.splits.PurgedWalkForward(n_splits=3),
        ["mae", "crps"],
        params={"horizon": 6, "seasonality": 24},
        stride=6,
    )
    assert told["mean"]["mae"] == pytest.approx(by_hand.mean["mae"])
    assert len(told["folds"]) == 3
    for wrong in ("1", "random:3", "group:x", ""):
        assert run(["train", "--config-dir", str(folder), "--cv", wrong]) == 2
    assert "--cv" in capsys.readouterr().err
