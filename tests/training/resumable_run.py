"""A small run with everything that can be random or stateful, for tests in this process and in others.

python resumable_run.py FOLDER KIND EPOCHS [--resume] [--exit-at STEP] [--sleep-at STEP]
"""

import argparse
import os
import time
from pathlib import Path

from minitorch_cv import Generator, manual_seed, nn, ops, optim
from minitorch_cv.data import Compose, DataLoader, RandomCrop, RandomHorizontalFlip, mnist5k
from minitorch_cv.training import Trainer

IMAGES, BATCH, STEPS_PER_EPOCH, EPOCHS = 100, 16, 7, 3

KINDS = {
    "sgd": {"optimizer": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-3, nesterov=True)},
    "adam": {"optimizer": lambda p: optim.Adam(p, lr=1e-3), "prefetch": 2, "clip_norm": 1.0},
    "adamw-step-schedule-ema": {
        "optimizer": lambda p: optim.AdamW(p, lr=1e-3),
        "schedule": lambda o: optim.SequentialLR(
            o, [optim.LinearLR(o, 0.1, total_iters=4), optim.CosineAnnealingLR(o, 17)], [4]
        ),
        "schedule_per": "step",
        "ema": True,
        "prefetch": 3,
    },
    "rmsprop-plateau": {
        "optimizer": lambda p: optim.RMSprop(p, lr=1e-3, momentum=0.9, centered=True),
        "schedule": lambda o: optim.ReduceLROnPlateau(o, patience=0, threshold=0.5),
    },
}


def make(folder, kind="sgd", loss_fn=None, **settings):
    """A Trainer made in the same way each time; `settings` replace those of the kind."""
    chosen = KINDS[kind]
    manual_seed(5)
    weights, masks = Generator(1), Generator(2)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, generator=weights),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.3, generator=masks),
        nn.Linear(4 * 11 * 11, 12, generator=weights),
        nn.BatchNorm1d(12, momentum=None),
        nn.Dropout(0.2),
        nn.Linear(12, 10, generator=weights),
    )
    optimizer = chosen["optimizer"](model.parameters())
    train, test = mnist5k("train").subset(slice(IMAGES)), mnist5k("test").subset(slice(40))
    augment = Compose([RandomCrop(24), RandomHorizontalFlip()])
    schedule = chosen["schedule"](optimizer) if "schedule" in chosen else None
    arguments = {
        "train_loader": DataLoader(
            train, BATCH, shuffle=True, generator=Generator(3), transform=augment, prefetch=chosen.get("prefetch", 0)
        ),
        # Its transform is random too: the position of the test data belongs to the state.
        "test_loader": DataLoader(test, 20, generator=Generator(4), transform=augment),
        "schedule": schedule,
        "schedule_per": chosen.get("schedule_per", "epoch"),
        "ema": optim.ExponentialMovingAverage(model, 0.9) if chosen.get("ema") else None,
        "clip_norm": chosen.get("clip_norm"),
        "metrics": ("top1", "top5"),
        "checkpoint": Path(folder) / "run.safetensors",
        "log": Path(folder) / "run.csv",
        "progress": False,
    }
    return Trainer(model, optimizer, loss_fn, **{**arguments, **settings})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("epochs", type=int)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--exit-at", type=int, default=0)
    parser.add_argument("--sleep-at", type=int, default=0)
    parser.add_argument("--checkpoint-every", type=int)
    options = parser.parse_args()

    def loss_fn(logits, labels):
        step = trainer.steps_done + 1
        if step == options.exit_at:
            os._exit(9)  # as a power cut would
        if step == options.sleep_at:
            print("sleeping", flush=True)
            time.sleep(60)
        print("step", step, flush=True)
        return ops.cross_entropy(logits, labels)

    trainer = make(options.folder, options.kind, loss_fn, checkpoint_every=options.checkpoint_every)
    trainer.fit(options.epochs, resume=options.resume)


if __name__ == "__main__":
    main()
