"""What holds for every loss: finite under extremes, blind under the mask, no wait for the device."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from forecast_core import losses
from forecast_core.errors import InvalidInputError, ShapeError

K, D = 3, 2
LEVELS = (0.1, 0.5, 0.95)
SHAPE = (2, 3)


@dataclass(frozen=True)
class Case:
    """A loss with the axes that its arguments have past the targets', and the values these may take."""

    name: str
    call: Callable[..., Tensor]  # (targets, *parameters, mask=, reduction=)
    parameters: tuple[tuple[str, tuple[int, ...]], ...]
    targets: tuple[str, tuple[int, ...]] = ("target", ())
    pooled: bool = False  # one number a batch, no element losses

    def __str__(self) -> str:
        return self.name


def _gaussian(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda y, means, sigmas, **options: loss(y, means, sigmas=sigmas, **options)


def _mixture(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda y, *parts, **options: loss(y, losses.MixtureParameters(*parts), **options)


def _untargeted(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda _, *parameters, **options: loss(*parameters, **options)


POINT = (("value", ()),)
GAUSSIAN = (("value", ()), ("sigma", ()))
MIXTURE = (("logit", (K,)), ("value", (K,)), ("sigma", (K,)))

CASES = [
    Case("masked_mae", losses.masked_mae, POINT),
    Case("masked_mse", losses.masked_mse, POINT),
    Case("masked_huber", losses.masked_huber, POINT),
    Case("gaussian_nll", _gaussian(losses.gaussian_nll), GAUSSIAN),
    Case("beta_nll", _gaussian(losses.beta_nll), GAUSSIAN),
    Case("crps_gaussian", _gaussian(losses.crps_gaussian), GAUSSIAN),
    Case("mixture_nll", _mixture(losses.mixture_nll), MIXTURE),
    Case("crps_mixture", _mixture(losses.crps_mixture), MIXTURE),
    Case("mixture_calibration", _mixture(losses.mixture_calibration), MIXTURE, pooled=True),
    Case(
        "mixture_diversity",
        lambda _, *parts, **options: losses.mixture_diversity(losses.MixtureParameters(*parts), **options),
        MIXTURE,
    ),
    Case("pinball_loss", lambda y, q, **o: losses.pinball_loss(y, q, levels=LEVELS, **o), (("value", (K,)),)),
    Case(
        "crps_quantiles",
        lambda y, q, **o: losses.crps_quantiles(y, q, levels=LEVELS, **o),
        (("value", (K,)),),
    ),
    Case("crps_samples", losses.crps_samples, (("value", (K,)),)),
    Case(
        "crps_samples plain",
        lambda y, x, **o: losses.crps_samples(y, x, estimator="plain", **o),
        (("value", (K,)),),
    ),
    Case("energy_score", losses.energy_score, (("value", (K, D)),), targets=("target", (D,))),
    Case(
        "focal_loss",
        lambda y, logits, **o: losses.focal_loss(
            y, logits, gamma=0.5, alpha=[0.2, 0.3, 0.5], label_smoothing=0.1, **o
        ),
        (("logit", (K,)),),
        targets=("class", ()),
    ),
    Case("symmetric_kl", _untargeted(losses.symmetric_kl), (("logit", (K,)), ("logit", (K,)))),
    Case("jensen_shannon", _untargeted(losses.jensen_shannon), (("logit", (2, K)),)),
]
ELEMENTWISE = [case for case in CASES if not case.pooled]
UNTARGETED = [case for case in CASES if case.name in {"mixture_diversity", "symmetric_kl", "jensen_shannon"}]
EVERY_LOSS = pytest.mark.parametrize("case", CASES, ids=str)

EXTREMES: dict[str, st.SearchStrategy[float]] = {
    "target": st.sampled_from([-1e6, -1.0, 0.0, 1e-30, 2.5, 1e6]),
    "value": st.sampled_from([-1e6, -1.0, 0.0, 1e-30, 2.5, 1e6]),
    "sigma": st.sampled_from([0.0, 1e-45, 1e-30, 1e-6, 1.0, 1e6]),
    "logit": st.sampled_from([-1e30, -1e4, -1.0, 0.0, 88.0, 1e4, 1e30]),
    "class": st.integers(0, K - 1),
}
ORDINARY: dict[str, st.SearchStrategy[float]] = {
    "target": st.floats(-5, 5),
    "value": st.floats(-5, 5),
    "sigma": st.floats(0.1, 5),
    "logit": st.floats(-5, 5),
    "class": st.integers(0, K - 1),
}
MASKS = st.lists(st.booleans(), min_size=6, max_size=6).map(lambda seen: torch.tensor(seen).reshape(SHAPE))


def _tensor(
    data: st.DataObject, kinds: dict[str, st.SearchStrategy[float]], kind: str, trailing: tuple[int, ...]
) -> Tensor:
    shape = (*SHAPE, *trailing)
    count = torch.Size(shape).numel()
    dtype = torch.long if kind == "class" else torch.float64
    values = data.draw(st.lists(kinds[kind], min_size=count, max_size=count))
    return torch.tensor(values, dtype=dtype).reshape(shape)


def _draw(
    data: st.DataObject, case: Case, kinds: dict[str, st.SearchStrategy[float]]
) -> tuple[Tensor, list[Tensor]]:
    targets = _tensor(data, kinds, *case.targets)
    return targets, [_tensor(data, kinds, *parameter) for parameter in case.parameters]


def _example(case: Case, seed: int = 0) -> tuple[Tensor, list[Tensor]]:
    generator = torch.Generator().manual_seed(seed)

    def fill(kind: str, trailing: tuple[int, ...]) -> Tensor:
        if kind == "class":
            return torch.randint(K, (*SHAPE, *trailing), generator=generator)
        values = torch.randn(*SHAPE, *trailing, generator=generator)
        return values.exp() if kind == "sigma" else values

    return fill(*case.targets), [fill(*parameter) for parameter in case.parameters]


def _leaves(parameters: list[Tensor]) -> list[Tensor]:
    return [parameter.detach().clone().requires_grad_() for parameter in parameters]


def _float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


@EVERY_LOSS
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_extreme_inputs_give_a_finite_loss_and_gradient_in_float32(case: Case, data: st.DataObject) -> None:
    targets, parameters = _draw(data, case, EXTREMES)
    leaves = _leaves([_float32(parameter) for parameter in parameters])
    loss = case.call(_float32(targets), *leaves)
    loss.backward()
    assert torch.isfinite(loss)
    for leaf in leaves:
        assert leaf.grad is None or torch.isfinite(leaf.grad).all()


@EVERY_LOSS
@settings(max_examples=20, deadline=None)
@given(data=st.data(), mask=MASKS, poison=st.sampled_from([float("nan"), float("inf"), -1e38]))
def test_values_under_the_mask_change_neither_loss_nor_gradient(
    case: Case, data: st.DataObject, mask: Tensor, poison: float
) -> None:
    targets, parameters = _draw(data, case, ORDINARY)

    def run(targets: Tensor, parameters: list[Tensor]) -> tuple[Tensor, list[Tensor | None]]:
        leaves = _leaves(parameters)
        loss = case.call(targets, *leaves, mask=mask)
        loss.backward()
        return loss.detach(), [leaf.grad for leaf in leaves]

    def poisoned(tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        tensor[~mask] = poison if tensor.is_floating_point() else -100
        return tensor

    clean_loss, clean_gradients = run(targets, parameters)
    loss, gradients = run(poisoned(targets), [poisoned(parameter) for parameter in parameters])
    assert torch.equal(loss, clean_loss)
    for gradient, clean in zip(gradients, clean_gradients, strict=True):
        if gradient is None or clean is None:
            assert gradient is clean
        else:
            assert torch.equal(gradient, clean)
            assert (gradient[~mask] == 0).all()


@EVERY_LOSS
@settings(max_examples=20, deadline=None)
@given(data=st.data(), mask=MASKS.filter(lambda mask: bool(mask.any())))
def test_a_masked_loss_is_the_loss_of_the_observed_rows_alone(
    case: Case, data: st.DataObject, mask: Tensor
) -> None:
    targets, parameters = _draw(data, case, ORDINARY)
    alone = case.call(targets[mask], *(parameter[mask] for parameter in parameters))
    torch.testing.assert_close(case.call(targets, *parameters, mask=mask), alone, rtol=1e-12, atol=1e-12)


@EVERY_LOSS
def test_a_batch_in_which_nothing_was_observed_has_loss_and_gradient_zero(case: Case) -> None:
    targets, parameters = _example(case)
    if targets.is_floating_point():
        targets = torch.full_like(targets, float("nan"))
    leaves = _leaves(parameters)
    loss = case.call(targets, *leaves, mask=torch.zeros(SHAPE, dtype=torch.bool))
    loss.backward()
    assert loss == 0
    assert all(leaf.grad is None or (leaf.grad == 0).all() for leaf in leaves)


@EVERY_LOSS
def test_an_empty_batch_has_loss_zero(case: Case) -> None:
    targets, parameters = _example(case)
    assert case.call(targets[:0], *(parameter[:0] for parameter in parameters)) == 0


@pytest.mark.parametrize("case", ELEMENTWISE, ids=str)
def test_reductions_agree(case: Case) -> None:
    targets, parameters = _example(case)
    mask = torch.tensor([[True, False, True], [True, True, False]])
    elements = case.call(targets, *parameters, mask=mask, reduction="none")
    assert elements.shape == SHAPE
    assert (elements[~mask] == 0).all()
    assert (elements[mask] != 0).all()
    torch.testing.assert_close(case.call(targets, *parameters, mask=mask, reduction="sum"), elements.sum())
    torch.testing.assert_close(case.call(targets, *parameters, mask=mask), elements.sum() / 4)
    with pytest.raises(InvalidInputError, match=r"reduction: is one of .* got 'average'"):
        case.call(targets, *parameters, reduction="average")


@EVERY_LOSS
def test_losses_never_read_values_back_from_the_device(case: Case) -> None:
    # The meta device has shapes and no values: whatever would wait for a value fails on it.
    targets, parameters = _example(case)
    leaves = [parameter.to("meta").requires_grad_() for parameter in parameters]
    mask = torch.ones(SHAPE, dtype=torch.bool, device="meta")
    for options in ({}, {"mask": mask}):
        loss = case.call(targets.to("meta"), *leaves, **options)
        loss.backward()
        assert loss.shape == ()
        assert leaves[-1].grad is not None


@EVERY_LOSS
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_computed_in_float32(case: Case, dtype: torch.dtype) -> None:
    targets, parameters = _example(case)
    halves = [parameter.to(dtype) for parameter in parameters]
    loss = case.call(targets, *halves)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, case.call(targets, *(half.float() for half in halves)))


@EVERY_LOSS
def test_shapes_that_would_broadcast_are_refused(case: Case) -> None:
    targets, parameters = _example(case)
    others = len(parameters) + (case not in UNTARGETED)  # what an argument can differ from
    for index, parameter in enumerate(parameters if others > 1 else []):
        wrong = [*parameters]
        wrong[index] = parameter[:, :2]
        with pytest.raises(ShapeError):
            case.call(targets, *wrong)
    with pytest.raises(ShapeError, match="mask"):
        case.call(targets, *parameters, mask=torch.ones(SHAPE[1:], dtype=torch.bool))
    with pytest.raises(InvalidInputError, match="mask: is boolean"):
        case.call(targets, *parameters, mask=torch.ones(SHAPE))


@pytest.mark.parametrize(
    "case", [case for case in CASES if case not in UNTARGETED and case.targets[0] == "target"], ids=str
)
def test_a_missing_target_without_a_mask_is_not_hidden(case: Case) -> None:
    targets, parameters = _example(case)
    targets[0, 0] = float("nan")
    assert torch.isnan(case.call(targets, *parameters))


def test_every_public_name_of_the_modules_is_exported_from_its_home() -> None:
    folder = Path(losses.__file__).parent
    internal = {"checks"}
    for path in folder.glob("*.py"):
        if path.stem == "__init__" or path.stem in internal:
            continue
        module = importlib.import_module(f"forecast_core.losses.{path.stem}")
        assert set(losses._EXPORTS[path.stem]) <= set(module.__all__)
        for name in losses._EXPORTS[path.stem]:
            assert getattr(losses, name) is getattr(module, name)
    assert set(dir(losses)) == set(losses.__all__)
    with pytest.raises(AttributeError, match="hinge"):
        _ = losses.hinge


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, forecast_core.losses; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
