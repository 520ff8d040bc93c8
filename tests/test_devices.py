"""Every network is put on the device that it is loaded for, and a device that is not there is told of."""

from __future__ import annotations

from pathlib import Path

import pytest

import forecast_core as fc
from forecast_core import registry
from forecast_core.errors import ArtifactError, DeviceError

AWAY = "cuda:99"
LAZY = {"timeseries/chronos", "vision/logistic"}  # what they compute on a device is made when it is needed
NETWORKS = [
    name
    for name in fc.available_models()
    if "device" in registry.config_class(registry.model_spec(name)).model_fields and name not in LAZY
]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_loaded_where_it_is_told_to(name: str, tmp_path: Path) -> None:
    spec = registry.model_spec(name)
    task = registry.task_spec(spec.task)
    data = registry.load_object(task.sample_data, owner=task.id)()
    model = fc.create_model(name, **spec.test_configs[0]).fit(data)
    expected = model.predict(data)
    model.config = model.config.model_copy(update={"device": AWAY})
    model.save(tmp_path / "model")
    with pytest.raises(ArtifactError, match=f"was trained on '{AWAY}', which is not here .*device='cpu'"):
        fc.load_model(tmp_path / "model")
    with pytest.raises(DeviceError, match=f"device: .*'{AWAY}0'; use 'cpu'"):
        fc.load_model(tmp_path / "model", device=AWAY + "0")
    loaded = fc.load_model(tmp_path / "model", device="cpu")
    assert loaded.config == fc.create_model(name, **spec.test_configs[0]).config
    assert loaded.predict(data) == expected
