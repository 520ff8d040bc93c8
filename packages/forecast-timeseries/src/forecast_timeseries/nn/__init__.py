"""Networks and the tensors they read."""
