"""`forecast vision`: from a folder of photos to a saved model and its decisions."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from forecast_core import create_model
from forecast_core.cli.app import run
from forecast_vision.testing import sample_photos

QUICK = ["backbone=histogram", "view_size=32", "hidden-size=16", "num_layers=1", "num_heads=4"]
QUICK += ["max_epochs=2", "augmentations=1", "calibration_folds=2", 'augmentation={"crop": 0.9}']


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for k, photo in enumerate(sample_photos().photos):
        where = folder / ("yes" if photo.label else "no")
        where.mkdir(exist_ok=True)
        assert isinstance(photo.image, np.ndarray)
        Image.fromarray(photo.image).save(where / f"{k}.png")
    return folder


def test_from_a_folder_to_decisions(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["vision", "describe", str(root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["labels"] == {"roadwork": 8, "no-roadwork": 8, "unknown": 0}
    options = [part for option in QUICK for part in ("-o", option)]
    assert run(["vision", "train", str(root), *options, "--out", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["report"]["folds"] == 2
    assert run(["vision", "predict", told["model"], str(root)]) == 0
    assert "decision" in capsys.readouterr().out
    output = tmp_path / "told.csv"
    assert run(["vision", "predict", told["model"], str(root), "--output", str(output)]) == 0
    lines = output.read_text().splitlines()
    assert lines[0] == "photo,roadwork,decision,view"
    assert len(lines) == 17
    capsys.readouterr()
    one = next((root / "yes").iterdir())
    assert run(["vision", "predict", told["model"], str(one), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["item_ids"] == [one.name]


def test_file_names_that_are_no_utf8_are_told_readably(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / os.fsdecode(b"caf\xe9.png")
    try:
        photo.write_bytes(next((root / "yes").iterdir()).read_bytes())
    except OSError:
        pytest.skip("file names are UTF-8 here")
    (tmp_path / "yes").mkdir()
    photo.rename(tmp_path / "yes" / photo.name)
    (tmp_path / "no").symlink_to(root / "no")
    model = str(tmp_path / "model")
    create_model("vision/prior").save(model)
    for where, name in ((tmp_path, "yes/caf\\xe9.png"), (tmp_path / "yes" / photo.name, "caf\\xe9.png")):
        output = tmp_path / os.fsdecode(b"tol\xe9.csv")
        assert run(["vision", "predict", model, str(where), "--output", str(output)]) == 0
        assert f"{name},0.5000" in output.read_text(encoding="utf-8")
        capsys.readouterr()
        assert run(["vision", "predict", model, str(where), "--json"]) == 0
        assert name in json.loads(capsys.readouterr().out)["item_ids"]
    assert run(["vision", "views", str(tmp_path / "yes" / photo.name)]) == 0
    assert "caf\\xe9.png" in capsys.readouterr().out.replace("\n", "")  # however wide the terminal


def test_views_are_listed_and_drawn(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = str(next((root / "no").iterdir()))
    assert run(["vision", "views", photo, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 12
    assert run(["vision", "views", photo]) == 0
    assert "tile-2-2" in capsys.readouterr().out
    assert run(["vision", "views", photo, "--output", str(tmp_path / "v.png")]) == 0
    with Image.open(tmp_path / "v.png") as drawn:
        assert drawn.width > 500


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["describe", "NOWHERE"], 1, "root"),
        (["views", "ROOT/yes/1.png", "--output", "v.txt"], 2, "--output"),
        (["train", "ROOT", "-o", "hiden_size=16"], 2, "hidden_size"),
        (["train", "ROOT", "-o", "hidden_size"], 1, "name=value"),
        (["train", "ROOT", "--model", "vision/prior"], 2, "--model"),
        (["predict", "NOWHERE", "ROOT"], 1, "NOWHERE"),
        (["predict", "NOWHERE", "ROOT/yes/1.png", "--split", "train"], 2, "--split"),
        (["predict", "NOWHERE", "ROOT", "--output", "NOWHERE/o.csv"], 2, "folder that exists"),
        (["describe", "ROOT", "--split", "zzz"], 1, "split: is told only of"),
    ],
)
def test_wrong_usage_is_told_in_one_line(
    arguments: list[str], code: int, says: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [a.replace("ROOT", str(root)) for a in arguments]
    assert run(["vision", *given]) == code
    error = capsys.readouterr().err
    assert says in error
    assert len(error.strip().splitlines()) == 1


def test_plots_of_a_prediction() -> None:
    import forecast_core as fc
    from forecast_core.errors import DataError, ShapeError
    from forecast_vision import plot_mistakes, plot_reliability, plot_roc

    photos = sample_photos()
    rng = np.random.default_rng(0)
    yes = np.clip(photos.labels * 0.5 + rng.random(16) * 0.6 - 0.05, 0, 1)
    views = rng.dirichlet(np.ones(12), 16)

    def told(p: np.ndarray) -> Any:
        shares = np.stack([1 - p, p], 1)
        return fc.ClassPrediction(
            item_ids=photos.item_ids,
            probabilities=shares,
            classes=("no-roadwork", "roadwork"),
            aux={"view_weights": views},
        )

    from sklearn.metrics import roc_auc_score

    legend = plot_roc(told(yes), photos).axes[0].get_legend()
    assert legend is not None
    assert legend.get_texts()[0].get_text() == f"AUC {roc_auc_score(photos.labels, yes):.3f}"
    (x, y) = plot_reliability(told(yes), photos, bins=2).axes[0].lines[1].get_data()
    half = yes >= 0.5
    np.testing.assert_allclose(x, [yes[~half].mean(), yes[half].mean()])
    np.testing.assert_allclose(y, [photos.labels[~half].mean(), photos.labels[half].mean()])
    wrong = np.abs(photos.labels - yes) > 0.5
    titles = [a.get_title() for a in plot_mistakes(told(yes), photos).axes if a.get_title()]
    assert len(titles) == min(int(wrong.sum()), 6)
    assert photos.item_ids[int(np.abs(photos.labels - yes).argmax())] in titles[0]
    assert plot_mistakes(told(photos.labels.astype(float)), photos).axes
    with pytest.raises(ShapeError, match="prediction"):
        plot_roc(told(yes), photos.between(0, 3))
    with pytest.raises(DataError, match="with and without"):
        plot_roc(told(yes).take([1, 3]), photos.take([1, 3]))
