"""The guide is true: its Python runs as written, on made-up photos and a tiny transformer."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from forecast_vision.serving import PhotoRequest
from forecast_vision.testing import sample_photos

GUIDE = Path(__file__).parents[3] / "docs" / "vision.md"


def write(folder: Path, *, seed: int, photos: int) -> None:
    for k, photo in enumerate(sample_photos(seed=seed, photos=photos).photos):
        assert isinstance(photo.image, np.ndarray)
        path = folder / ("yes" if photo.label else "no") / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo.image).save(path)


@pytest.mark.slow  # eight networks on features of the default backbone
def test_the_python_of_the_guide_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("peft")
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "streets", seed=0, photos=10)
    write(tmp_path / "region", seed=1, photos=10)
    Image.fromarray(sample_photos(seed=2, photos=2).photos[1].image).save("a.jpg")  # type: ignore[arg-type]
    torch.manual_seed(0)
    tiny = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 224}
    transformers.Dinov2Model(transformers.Dinov2Config(**tiny, patch_size=56)).save_pretrained("dinov2-small")
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL):
        exec(compile(block, GUIDE.name, "exec"), names)
    assert "10 photos" in names["text"]
    assert names["p"].aux["view_weights"].shape == (1, 12)
    asked = PhotoRequest.model_validate(names["body"]).to_data(names["model"].info)
    served, direct = (names["model"].predict(each).probabilities for each in (asked, names["photos"]))
    np.testing.assert_allclose(served, direct)
    assert base64.b64decode(names["body"]["images"][0]) == names["content"]
    assert names["report"].fold.shape == (10,)
    assert names["tuned"].predict(names["photos"]).probabilities.shape == (1, 2)
