"""Speeds and flows on a road graph: data, windows, splits, readers."""
