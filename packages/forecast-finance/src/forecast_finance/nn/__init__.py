"""Networks of bars, and the tensors they read."""
