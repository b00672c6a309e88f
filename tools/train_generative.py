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


RECIPES = {recipe.__name__: recipe for recipe in (diffusion, vae, dcgan, digit_classifier)}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", choices=RECIPES)
    parser.add_argument("--run", type=Path, help="where the run is kept (default: beside the weights)")
    arguments = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    RECIPES[arguments.model](arguments.run or FOLDER / f".{arguments.model}.run.safetensors")
