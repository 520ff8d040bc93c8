"""Networks: gated attention, fusion of views, and the whole of vision/roadwork."""
