"""Predictors made of predictors: ensembles, and forecasts calibrated by conformal prediction.

Nothing is imported here, since registering these models must cost nothing; `creating` has the functions.
"""
