"""The blocks of the network and its loss against plain references."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from sklearn.metrics import matthews_corrcoef
from torch import Tensor, nn

from forecast_core.losses import focal_loss
from forecast_vision.calibration import best_threshold, calibrated, fit_temperature
from forecast_vision.configs import RoadworkConfig
from forecast_vision.metadata import Metadata
from forecast_vision.metadata.encoding import Vocabulary, encode
from forecast_vision.nn.attention import DropPath, GatedAttention, GatedPooling
from forecast_vision.nn.metadata import MetadataBatch, MetadataEncoder
from forecast_vision.nn.roadwork import RoadworkNetwork, Verdict
from forecast_vision.nn.training import Bags, Batch, RoadworkLoss, WholeSet, matthews_loss


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def attention(heads: int = 4, key_heads: int = 2) -> GatedAttention:
    return GatedAttention(16, heads=heads, key_heads=key_heads).eval().double()


def reference(block: GatedAttention, x: Tensor, context: Tensor, mask: Tensor) -> Tensor:
    """One query and head after the other; each key head serves the next heads / key_heads query heads."""
    n, queries, size = x.shape
    d, group = block.head_size, block.heads // block.key_heads
    q, k, v, gate = block.query(x), block.key(context), block.value(context), torch.sigmoid(block.gate(x))
    out = torch.zeros(n, queries, size, dtype=x.dtype)
    for b in range(n):
        seen = mask[b]
        for h in range(block.heads):
            own, shared = slice(h * d, (h + 1) * d), slice(h // group * d, (h // group + 1) * d)
            for t in range(queries):
                weights = torch.softmax(k[b, seen, shared] @ q[b, t, own] / d**0.5, 0)
                out[b, t, own] = weights @ v[b, seen, shared]
    return block.project(out * gate)  # type: ignore[no-any-return]


@pytest.mark.parametrize("key_heads", [1, 2, 4])
def test_gated_attention_is_the_plain_loop(key_heads: int) -> None:
    block = attention(key_heads=key_heads)
    x, context = torch.randn(3, 5, 16).double(), torch.randn(3, 7, 16).double()
    mask = torch.rand(3, 7) < 0.6
    mask[:, 0] = True
    torch.testing.assert_close(block(x, context=context, mask=mask), reference(block, x, context, mask))
    every = torch.ones(3, 5, dtype=torch.bool)
    torch.testing.assert_close(block(x), reference(block, x, x, every))


def test_fewer_key_heads_are_repeated_keys_and_values() -> None:
    few, many = attention(key_heads=2), attention(key_heads=4)
    state = few.state_dict()
    for name in ("key.weight", "key.bias", "value.weight", "value.bias"):
        heads = state[name].unflatten(0, (2, 4))
        state[name] = heads.repeat_interleave(2, 0).flatten(0, 1)
    many.load_state_dict(state)
    x = torch.randn(2, 6, 16).double()
    torch.testing.assert_close(few(x), many(x))


def test_a_gate_of_zeros_halves_the_output() -> None:
    block = attention()
    x = torch.randn(2, 6, 16).double()
    nn.init.zeros_(block.project.bias)
    nn.init.zeros_(block.gate.weight)
    nn.init.zeros_(block.gate.bias)
    half = block(x)
    nn.init.constant_(block.gate.bias, 1e9)
    torch.testing.assert_close(2 * half, block(x))


def test_pooling_weighs_views_and_never_masked_ones() -> None:
    pool = GatedPooling(8, inner=4).double()
    x = torch.randn(3, 5, 8).double()
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 0, 1, 0, 0], [1, 0, 0, 0, 0]], dtype=torch.bool)
    pooled, weights = pool(x, mask=mask)
    torch.testing.assert_close(weights.sum(1), torch.ones(3).double())
    assert (weights[~mask] == 0).all()
    torch.testing.assert_close(pooled[2], x[2, 0])
    score = pool.score(torch.tanh(pool.signal(x[0])) * torch.sigmoid(pool.gate(x[0])))[:, 0]
    torch.testing.assert_close(weights[0], torch.softmax(score, 0))


def test_drop_path_keeps_the_mean_and_rests_outside_training() -> None:
    drop = DropPath(0.4)
    x = torch.ones(20_000, 2)
    out = drop(x)
    assert out.unique().tolist() == pytest.approx([0.0, 1 / 0.6])
    assert (out[:, 0] == out[:, 1]).all()
    assert out.mean().item() == pytest.approx(1.0, abs=0.03)
    assert drop.eval()(x) is x


SIZES = (4, 3, 3)
NOTHING = [Metadata()] * 6


def told(records: list[Metadata]) -> MetadataBatch:
    vocabulary = Vocabulary(
        {"weather": ("rain", "sunny"), "daytime": ("dark",), "scene_environment": ("suburban",)}
    )
    assert vocabulary.sizes() == SIZES
    return MetadataBatch(*(torch.from_numpy(a) for a in encode(records, vocabulary)))


def network(**options: Any) -> RoadworkNetwork:
    return RoadworkNetwork(
        10,
        **{
            "views": 12,
            "vocabulary": SIZES,
            "hidden_size": 16,
            "num_layers": 2,
            "num_heads": 4,
            "num_key_heads": 2,
            "dropout": 0.1,
            "drop_path": 0.1,
            "metadata_dropout": 0.1,
            "use_metadata": True,
            **options,
        },
    )


def test_metadata_is_704_numbers_finite_whatever_is_missing() -> None:
    encoder = MetadataEncoder(SIZES)
    assert encoder.size == 704
    records = [Metadata(), Metadata(gps=(1.0, 2.0)), Metadata(weather="Snow"), Metadata(weather="Rain")]
    encoder.eval()
    out = encoder(told(records))
    assert out.shape == (4, 704)
    assert torch.isfinite(out).all()
    null, unknown, known = out[0, 128:192], out[2, 128:192], out[3, 128:192]
    assert not torch.equal(null, unknown)
    assert not torch.equal(unknown, known)
    torch.testing.assert_close(out[0, :128], encoder.no_place)
    encoder.train()
    encoder.dropout = 0.5
    dropped = encoder(told([records[1]] * 400))
    share = (dropped[:, :128] == encoder.no_place).all(1).float().mean().item()
    assert share == pytest.approx(0.5, abs=0.1)


def test_views_that_are_masked_out_change_nothing() -> None:
    net = network().eval()
    x = torch.randn(3, 12, 10)
    mask = torch.ones(3, 12, dtype=torch.bool)
    mask[1, 4:] = False
    mask[2, 1:] = False  # the global view alone
    other = torch.where(mask[..., None], x, 100.0)
    one, two = (net(each, mask, told(NOTHING[:3])) for each in (x, other))
    torch.testing.assert_close(one.logits, two.logits)
    assert torch.isfinite(one.logits).all()
    torch.testing.assert_close(one.view_weights[2, 0], torch.tensor(1.0))
    assert one.weather.shape == (3, 4)


def test_the_weather_is_told_without_metadata() -> None:
    net = network().eval()
    x, mask = torch.randn(2, 12, 10), torch.ones(2, 12, dtype=torch.bool)
    sunny, rain = ([Metadata(weather=w)] * 2 for w in ("Sunny", "Rain"))
    one, two = (net(x, mask, told(records)) for records in (sunny, rain))
    torch.testing.assert_close(one.weather, two.weather)
    assert not torch.allclose(one.logits, two.logits)


def bags(count: int = 6, copies: int = 3) -> Bags:
    labels = torch.arange(count) % 2
    mask = torch.ones(count, 12, dtype=torch.bool)
    return Bags(torch.randn(count, copies, 12, 10), mask, labels, told(NOTHING[:count]))


def test_a_batch_draws_two_different_bags_of_each_photo() -> None:
    source = bags()
    index = torch.arange(6).repeat(50)
    batch = source.batch(index)
    which = [
        (source.features[index] == part[:, None]).flatten(2).all(2).float().argmax(1)
        for part in (batch.first, batch.second)
    ]
    assert (which[0] != which[1]).all()
    assert {0, 1, 2} == set(which[0].tolist())
    weights = torch.tensor([0.0, 0, 0, 0, 1, 0])
    weighted = Bags(source.features, source.mask, source.labels, source.metadata, weights=weights)
    assert (weighted.batch(index).labels == 0).all()


class Fixed(nn.Module):
    """Answers with the first two features of the global view as logits."""

    def forward(self, features: Tensor, mask: Tensor, metadata: MetadataBatch) -> Verdict:
        return Verdict(features[:, 0, :2], features[:, 0, 2:6], torch.ones(len(mask), 12) / 12)


def test_equal_bags_do_not_disagree_and_others_do() -> None:
    source = bags()
    batch = source.batch(torch.arange(6))
    equal = batch._replace(second=batch.first)
    one = torch.ones(2)
    for kind in ("symmetric-kl", "jensen-shannon"):
        options = {"consistency": kind, "mixup": 0.0, "hidden_size": 16}
        with_it, without = (
            RoadworkLoss(RoadworkConfig(**{**options, "consistency_weight": w}), one) for w in (1.0, 0.0)
        )
        assert float(with_it(Fixed(), equal) - without(Fixed(), equal)) == pytest.approx(0, abs=1e-6)
        assert float(with_it(Fixed(), batch) - without(Fixed(), batch)) > 1e-3


def test_the_loss_is_the_weighted_sum_of_its_parts() -> None:
    batch = bags().batch(torch.arange(6))
    config = RoadworkConfig(mixup=0.0, hidden_size=16)
    logits = torch.cat([batch.first[:, 0, :2], batch.second[:, 0, :2]])
    focal = focal_loss(
        torch.cat([batch.labels] * 2), logits, gamma=2.0, alpha=[1.0, 1.0], label_smoothing=0.1
    )
    log_p, log_q = (torch.log_softmax(each[:, 0, :2], -1) for each in (batch.first, batch.second))
    apart = 0.5 * ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(-1).mean()
    found = RoadworkLoss(config, torch.ones(2))(Fixed(), batch)
    torch.testing.assert_close(found, 0.5 * focal + 0.3 * apart)  # no weather is known
    records = [Metadata(weather="Rain"), *NOTHING[1:]]
    known = batch._replace(metadata=told(records))
    told_weather = torch.stack([each[0, 0, 2:6] for each in (batch.first, batch.second)])
    weather = nn.functional.cross_entropy(told_weather, torch.tensor([2, 2]))
    torch.testing.assert_close(
        RoadworkLoss(config, torch.ones(2))(Fixed(), known), 0.5 * focal + 0.3 * apart + 0.2 * weather
    )


def test_the_focal_modulator_of_easy_photos_comes_from_unsmoothed_odds() -> None:
    p = torch.tensor([0.9, 0.99, 0.999], dtype=torch.float64)
    logits = torch.stack([torch.zeros_like(p), torch.log(p / (1 - p))], -1)
    one = torch.ones(3, dtype=torch.long)
    smooth = {"label_smoothing": 0.1, "reduction": "none"}
    focal, plain = (focal_loss(one, logits, gamma=g, **smooth) for g in (2.0, 0.0))  # type: ignore[arg-type]
    torch.testing.assert_close(focal / plain, (1 - p) ** 2)


def test_mixing_counts_both_labels_by_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = bags().batch(torch.arange(6))
    loss = RoadworkLoss(RoadworkConfig(hidden_size=16, consistency_weight=0.0), torch.ones(2))
    other = torch.tensor([1, 0, 3, 2, 5, 4])  # of the other class
    monkeypatch.setattr(loss, "_mixture", lambda n, device: (0.75, other))
    mixed = 0.75 * batch.first[:, 0, :2] + 0.25 * batch.first[other, 0, :2]
    both = torch.cat([mixed, 0.75 * batch.second[:, 0, :2] + 0.25 * batch.second[other, 0, :2]])
    own, others = (
        focal_loss(torch.cat([each, each]), both, alpha=[1.0, 1.0], label_smoothing=0.1)
        for each in (batch.labels, batch.labels[other])
    )
    torch.testing.assert_close(loss(Fixed(), batch), 0.5 * (0.75 * own + 0.25 * others))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.floats(-3, 3)), min_size=1, max_size=30))
def test_validation_is_the_mcc_of_the_whole_set(rows: list[tuple[bool, float]]) -> None:
    labels = torch.tensor([int(label) for label, _ in rows])
    scores = torch.tensor([score for _, score in rows])
    features = torch.zeros(len(rows), 1, 12, 10)
    features[:, 0, 0, 1] = scores
    mask = torch.ones(len(rows), 12, dtype=torch.bool)
    nothing = told([Metadata()] * len(rows))
    batch: Batch = WholeSet(Bags(features, mask, labels, nothing)).batch(torch.arange(1))
    expected = matthews_corrcoef(labels, (scores >= 0).int()) if len(set(labels.tolist())) > 1 else 0.0
    entropy = nn.functional.cross_entropy(features[:, 0, 0, :2], labels)
    assert float(matthews_loss(Fixed(), batch)) == pytest.approx(
        1 - expected + 1e-3 * float(entropy), abs=1e-5
    )


def test_temperature_is_found_again() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 2))
    labels = (rng.random(20_000) < calibrated(logits, 1.0)[:, 1]).astype(int)
    assert fit_temperature(logits, labels) == pytest.approx(1.0, abs=0.05)
    assert fit_temperature(3 * logits, labels) == pytest.approx(3.0, abs=0.15)
    assert np.isfinite(calibrated(np.array([[1e4, -1e4]]), 0.05)).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=25))
def test_no_threshold_has_a_higher_mcc(rows: list[tuple[bool, float]]) -> None:
    labels = np.array([int(label) for label, _ in rows])
    shares = np.array([share for _, share in rows])

    def mcc(threshold: float) -> float:
        yes = (shares >= threshold).astype(int)
        return float(matthews_corrcoef(labels, yes)) if len(set(labels)) > 1 and len(set(yes)) > 1 else 0.0

    chosen = best_threshold(labels, shares)
    assert mcc(chosen) >= max(mcc(t) for t in np.linspace(0.01, 0.99, 33)) - 1e-9
