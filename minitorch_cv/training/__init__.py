"""Training: the loop, metrics, history, checkpoints from which a run goes on to the same bits."""

from .adversarial import AdversarialTrainer
from .checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from .history import History
from .metrics import RunningMeans, confusion_matrix, topk_accuracy
from .trainer import Trainer

__all__ = [
    "AdversarialTrainer",
    "CheckpointError",
    "History",
    "RunningMeans",
    "Trainer",
    "confusion_matrix",
    "load_checkpoint",
    "save_checkpoint",
    "topk_accuracy",
]
