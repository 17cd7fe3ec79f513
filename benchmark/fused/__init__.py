"""Fused training: many cells at once, over a leading cell dimension."""

from benchmark.fused.training import Run, can_train_together, cell_bytes, step_s, train_together

__all__ = ["Run", "can_train_together", "cell_bytes", "step_s", "train_together"]
