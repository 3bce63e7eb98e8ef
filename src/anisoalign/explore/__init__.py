"""A local page on which a fitted model's strength is dragged and its effect is seen at once."""
