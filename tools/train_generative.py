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
from minitorch_cv import data, models, nn, optim
from minitorch_cv.training import AdversarialTrainer, Trainer
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


def dcgan(run, epochs=60):
    """The DCGAN for digits, whose D learns their classes too; the rates fall to zero over the second half."""
    generator = mt.Generator(0)
    game = models.GAN(
        models.dcgan_generator_digits(generator=generator),
        models.dcgan_discriminator_digits(classes=10, generator=generator),
        labelled=True,
        random=generator,
    )
    loader = digits(32, 1, shift=1, drop_last=True)
    optimizers = [
        optim.Adam(net.parameters(), lr=lr, betas=(0.5, 0.99))
        for net, lr in ((game.generator, 6e-4), (game.discriminator, 2e-4))
    ]
    steps = epochs * len(loader)
    trainer = AdversarialTrainer(
        game,
        *optimizers,
        train_loader=loader,
        schedules=[optim.LambdaLR(each, lambda step: min(1.0, 2.0 * (1.0 - step / steps))) for each in optimizers],
        ema=optim.ExponentialMovingAverage(game.generator, 0.998),
        checkpoint=run,
    )
    trainer.fit(epochs, resume=True)
    with trainer.ema.applied():
        measure_statistics(game)
        save_weights(game.generator, FOLDER / "dcgan_generator_digits.safetensors", "float16")


def measure_statistics(game, images=6400, batch_size=64):
    """Batch norm's running statistics of the generator as it is now: those of averaged weights are not averages."""
    norms = [layer for layer in game.generator.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in norms:
        layer.num_batches_tracked.data = layer.num_batches_tracked.data * 0
        layer.momentum = None  # the mean over all batches
    source = mt.Generator(2)
    game.generator.train()
    for _ in range(images // batch_size):
        game.sample(batch_size, random=source)
    game.generator.eval()


RECIPES = {recipe.__name__: recipe for recipe in (diffusion, dcgan)}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", choices=RECIPES)
    parser.add_argument("--run", type=Path, help="where the run is kept (default: beside the weights)")
    arguments = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    RECIPES[arguments.model](arguments.run or FOLDER / f".{arguments.model}.run.safetensors")
