"""Trains the small generative models that the package ships, on the digits that it embeds.

    python tools/train_generative.py diffusion     # about an hour on two cores
    python tools/train_generative.py vae
    python tools/train_generative.py dcgan

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


def vae(run, epochs=200):
    """The convolutional VAE for digits, by its bound, on binarised digits moved by up to a pixel: 15 minutes.

    The one of linear layers has 2.5 times as many parameters, a bound that is two nats worse, and dimmer samples.
    """
    generator = mt.Generator(0)
    model = models.conv_vae(generator=generator)
    loader = data.DataLoader(
        data.mnist5k("train"),
        50,
        shuffle=True,
        generator=mt.Generator(1),
        transform=data.Compose([data.RandomCrop(28, padding=1), data.binarize]),
    )
    held_out = data.binarize(data.mnist5k("test").images, mt.Generator(100))
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    trainer = Trainer(
        model,
        optimizer,
        objective=lambda x, label: model.loss(x),
        train_loader=loader,
        test_loader=[(held_out, data.mnist5k("test").labels)],
        schedule=optim.CosineAnnealingLR(optimizer, epochs * len(loader)),
        schedule_per="step",
        ema=optim.ExponentialMovingAverage(model, 0.999),
        checkpoint=run,
    )
    trainer.fit(epochs, resume=True)
    with trainer.ema.applied():
        save_weights(model, FOLDER / "conv_vae.safetensors", "float16")


RECIPES = {recipe.__name__: recipe for recipe in (diffusion, vae)}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", choices=RECIPES)
    parser.add_argument("--run", type=Path, help="where the run is kept (default: beside the weights)")
    arguments = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    RECIPES[arguments.model](arguments.run or FOLDER / f".{arguments.model}.run.safetensors")
