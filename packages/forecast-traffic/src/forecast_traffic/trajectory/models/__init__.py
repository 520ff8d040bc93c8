"""Models of trajectories, one a file."""
