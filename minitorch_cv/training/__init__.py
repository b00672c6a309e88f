"""Training: the loop, metrics, history, checkpoints from which a run goes on to the same bits; how good samples are."""

from ._capture import Captured, capture
from .adversarial import AdversarialTrainer
from .checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from .history import History
from .metrics import RunningMeans, confusion_matrix, topk_accuracy
from .sample_quality import (
    ModeCoverage,
    NearestDistances,
    Neighbours,
    class_entropy,
    class_shares,
    confident_share,
    frechet_distance,
    mode_coverage,
    nearest_distances,
    nearest_neighbours,
    recognised_share,
    within_class_spread,
)
from .trainer import Trainer

__all__ = [
    "AdversarialTrainer",
    "Captured",
    "CheckpointError",
    "History",
    "ModeCoverage",
    "NearestDistances",
    "Neighbours",
    "RunningMeans",
    "Trainer",
    "capture",
    "class_entropy",
    "class_shares",
    "confident_share",
    "confusion_matrix",
    "frechet_distance",
    "load_checkpoint",
    "mode_coverage",
    "nearest_distances",
    "nearest_neighbours",
    "recognised_share",
    "save_checkpoint",
    "topk_accuracy",
    "within_class_spread",
]
