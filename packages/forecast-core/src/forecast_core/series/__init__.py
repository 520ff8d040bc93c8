"""Task `series`: panels of time series, their naive baselines and sample data."""
