"""Networks of trajectories, and tracks as tensors."""
