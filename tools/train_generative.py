"""Trains the small generative models that the package ships, on the digits that it embeds.

    python tools/train_generative.py diffusion     # about an hour on two cores
    python tools/train_generative.py vae
    python tools/train_generative.py dcgan
    python tools/train_generative.py digit_classifier     # which judges them; about three minutes

A run that was stopped goes on where it was. One seed gives the same bits on the same machine. At the end the weights
are written to minitorch_cv/weights/trained/, averaged over the steps where the recipe says so, as float16.
"""

import argparse
from pathlib import Path

import minitorch_cv as mt
from minitorch_cv import data, models, optim
from minitorch_cv.training import Trainer
from minitorch_cv.weights import save_weights

FOLDER = Path(__file__).resolve().parents[1] / "minitorch_cv" / "weights" / "trained"


def digits(batch_size, seed, shift=0, drop_last=False):
    """The digits to learn from, in -1 .. 1, moved by up to `shift` pixels."""
    steps = [data.RandomCrop(28, padding=shift)] if shift else []
    return data.DataLoader(
        data.mnist5k("train"),
        batch_size,
        shuffle=True,
        generator=mt.Generator(seed),
        transform=data.Compose([*steps, data.Normalize(0.5, 0.5)]),
        drop_last=drop_last,
    )


def diffusion(run, epochs=80):
    """The U-Net for digits with their labels, by L_simple."""
    generator = mt.Generator(0)
    model = models.Diffusion(models.ddpm_unet_digits(generator=generator), generator=generator)
    loader = digits(32, 1)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    steps = epochs * len(loader)
    trainer = Trainer(
        model,
        optimizer,
        objective=lambda x, label: model.loss(x, label),
        train_loader=loader,
        schedule=optim.CosineAnnealingLR(optimizer, steps),
        schedule_per="step",
        ema=optim.ExponentialMovingAverage(model, 0.999),
        clip_norm=1.0,
        checkpoint=run,
    )
    trainer.fit(epochs, resume=True)
    with trainer.ema.applied():
        save_weights(model.net, FOLDER / "ddpm_unet_digits.safetensors", "float16")


def digit_classifier(run, epochs=40, seed=0):
    """The judge of digits: cross-entropy, digits moved by up to 2 pixels, dropout, averaged weights."""
    train, test = data.mnist5k("train"), data.mnist5k("test")
    model = models.digit_classifier(generator=mt.Generator(seed))
    moved = data.Compose([data.RandomCrop(28, padding=2), data.to_float])
    loader = data.DataLoader(train, 64, shuffle=True, generator=mt.Generator(seed + 1), transform=moved)
    optimizer = optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    trainer = Trainer(
        model,
        optimizer,
        train_loader=loader,
        test_loader=data.DataLoader(test, 250),
        schedule=optim.CosineAnnealingLR(optimizer, epochs * len(loader)),
        schedule_per="step",
        ema=optim.ExponentialMovingAverage(model, 0.99),
        checkpoint=run,
    )
    trainer.fit(epochs, resume=True)
    with trainer.ema.applied():
        save_weights(model, FOLDER / "digit_classifier.safetensors", "float16")


RECIPES = {recipe.__name__: recipe for recipe in (diffusion, digit_classifier)}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", choices=RECIPES)
    parser.add_argument("--run", type=Path, help="where the run is kept (default: beside the weights)")
    arguments = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    RECIPES[arguments.model](arguments.run or FOLDER / f".{arguments.model}.run.safetensors")
