"""The one list of checks, in the order they are run."""

from __future__ import annotations

from forecast_core.conformance import (
    distribution,
    fitting,
    inputs,
    items,
    leakage,
    online,
    purity,
    registration,
    shapes,
    storage,
)
from forecast_core.conformance.check import Check

__all__ = ["BY_NAME", "CHECKS"]

CHECKS: tuple[Check, ...] = (
    registration.registered,
    registration.light_listing,
    registration.sample_data,
    registration.config_round_trip,
    registration.unknown_option_refused,
    fitting.unfitted_refused,
    fitting.fit,
    shapes.predict,
    shapes.shapes,
    shapes.timestamps,
    shapes.model_reference,
    distribution.finite,
    distribution.monotone_quantiles,
    distribution.consistent_distribution,
    distribution.samples_follow_distribution,
    purity.repeatable,
    purity.input_unchanged,
    purity.global_state_unchanged,
    fitting.same_seed_same_model,
    fitting.refit_from_scratch,
    online.online_update,
    online.exact_update,
    online.update_follows_drift,
    storage.stored_prediction,
    storage.save_and_load,
    storage.tampering_refused,
    storage.no_pickle,
    items.item_permutation,
    leakage.future_unseen,
    leakage.targets_unread,
    leakage.batch_independent,
    leakage.windows_agree,
    inputs.horizon,
    inputs.declared_accepted,
    inputs.future_given_apart,
    inputs.undeclared_refused,
    inputs.bad_input,
)

BY_NAME = {check.name: check for check in CHECKS}
