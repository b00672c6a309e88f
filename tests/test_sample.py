"""`minitorch-cv sample`: what is drawn and written, which seed gives what, and what is said of a wrong argument."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import minitorch_cv as mt
from minitorch_cv import _sample, cli, models
from minitorch_cv.weights import _trained, save_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Files of random weights by the models' names, those that start at zero among them: they would hide the label."""
    folder = tmp_path_factory.mktemp("weights")
    for name in ("vae", "conv_vae", "dcgan_generator_digits", "dcgan_generator", "ddpm_unet_digits", "ddpm_unet_small"):
        net = models.NAMES[name](generator=mt.Generator(1))
        if isinstance(net, models.DDPMUNet):
            for parameter in net.parameters():
                if parameter.ndim > 1 and not parameter.numpy().any():
                    mt.nn.init.normal_(parameter, 0.0, 0.05, generator=mt.Generator(2))
        if isinstance(net, models.DCGANGenerator):  # which start with images that are nearly grey
            for parameter in net.parameters():
                parameter.data[...] *= 10 if parameter.ndim > 1 else 1
        save_weights(net, folder / f"{name}.safetensors", "float16")
    return folder


@pytest.fixture
def draw(weights, tmp_path, capsys):
    """Runs the command with these random weights; returns the arrays and the size of the picture."""

    def run(name, *options, output="drawn"):
        path = weights / f"{name}.safetensors"
        code = cli.main(["sample", name, "--weights", str(path), "--output", str(tmp_path / output), *options])
        told = capsys.readouterr()
        assert code == 0, told.err
        with np.load(tmp_path / f"{output}.npz", allow_pickle=False) as archive:
            arrays = dict(archive)
        with Image.open(tmp_path / f"{output}.png") as picture:
            return arrays, picture.size

    return run


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("vae", (1, 28, 28), ()),
        ("conv_vae", (1, 28, 28), ()),
        ("dcgan_generator_digits", (1, 28, 28), ()),
        ("dcgan_generator", (3, 32, 32), ()),
        ("ddpm_unet_digits", (1, 28, 28), ("--steps", "2")),
        ("ddpm_unet_small", (3, 32, 32), ("--steps", "2", "--eta", "0.5")),
    ],
)
def test_every_kind_of_model_draws(draw, name, shape, options):
    arrays, (width, height) = draw(name, "--count", "5", "--seed", "3", *options)
    assert sorted(arrays) == ["images", "labels", "seed", "settings"]
    images = arrays["images"]
    assert images.shape == (5, *shape) and images.dtype == np.uint8
    assert np.unique(images).size > 10 and all((images[0] != other).any() for other in images[1:])
    assert arrays["labels"].tolist() == ([0, 1, 2, 3, 4] if name == "ddpm_unet_digits" else [-1] * 5)
    assert arrays["seed"] == 3 and width > 100 and height > 50
    settings = json.loads(str(arrays["settings"]))
    assert settings["model"] == name and settings["count"] == 5 and settings["weights"].endswith(".safetensors")
    assert settings["steps"] == (2 if "ddpm" in name else None)
    assert settings["guidance"] == (2.0 if name == "ddpm_unet_digits" else None)


def test_a_seed_decides_and_more_images_begin_with_the_same(draw):
    first = draw("vae", "--count", "6")[0]["images"]
    np.testing.assert_array_equal(draw("vae", "--count", "6")[0]["images"], first)
    assert (draw("vae", "--count", "6", "--seed", "1")[0]["images"] != first).any()
    more = draw("vae", "--count", "120")[0]["images"]
    assert abs(more[:6].astype(int) - first).max() <= 1


@pytest.mark.parametrize("name", ["vae", "dcgan_generator_digits", "ddpm_unet_digits"])
def test_the_batch_does_not_matter(weights, name):
    path = weights / f"{name}.safetensors"
    model, _ = _sample.load_sampler(name, path)
    steps, eta = (2, 1.0) if name.startswith("ddpm") else (None, None)
    settings = _sample.settings_for(model, name, path, 5, None, steps, None, eta, 0)
    called = []
    apart = _sample.sample(model, settings, 2, lambda: called.append(1))
    together = _sample.sample(model, settings, 5)
    assert len(called) == _sample.passes(settings, 2) == 3 * (steps or 1)
    assert abs(apart.astype(int) - together).max() <= 1


def test_noise_belongs_to_the_image():
    whole = _sample.ImageNoise(7, range(4))
    part = _sample.ImageNoise(7, range(2, 4))
    for _ in range(2):
        np.testing.assert_array_equal(whole.normal((4, 1, 3, 3))[2:], part.normal((2, 1, 3, 3)))
    np.testing.assert_array_equal(_sample.ImageNoise(7, range(1)).normal((1, 5))[0], mt.Generator(7).spawn(0).normal(5))


def test_guidance_goes_from_the_unconditional_net_through_the_conditional_one(weights, draw):
    model, _ = _sample.load_sampler("ddpm_unet_digits", weights / "ddpm_unet_digits.safetensors")
    shape, kept = (2, 1, 28, 28), []
    for scale, labels in (("0", [10, 10]), ("1", [7, 7])):
        drawn = draw("ddpm_unet_digits", "--class", "7", "--guidance", scale, "--steps", "3", "--count", "2")[0]
        assert drawn["labels"].tolist() == [7, 7]
        noise = _sample.ImageNoise(0, range(2))
        expected = models.Diffusion(model).sample(shape, np.array(labels), 1.0, steps=3, generator=noise).numpy()
        assert abs(drawn["images"] - 127.5 * (expected + 1)).max() < 0.51
        kept.append(drawn["images"])
    assert (kept[0] != kept[1]).any(), "the label counts"
    strong = draw("ddpm_unet_digits", "--class", "7", "--guidance", "9", "--steps", "3", "--count", "2")[0]
    assert (strong["images"] != kept[1]).any()


def test_the_output_is_a_prefix_or_a_folder(weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["sample", "vae", "--weights", str(weights / "vae.safetensors"), "--count", "2"]
    for output in ([], ["--output", "new/"], ["--output", "new/two.png"], ["--output", "deep/er/v1.5"]):
        assert cli.main([*options, *output]) == 0
    found = sorted(str(path.relative_to(tmp_path).as_posix()) for path in tmp_path.rglob("*.*") if path.is_file())
    prefixes = ("deep/er/v1.5", "new/two", "new/vae", "vae")
    assert found == [f"{prefix}.{ending}" for prefix in prefixes for ending in ("npz", "png")]
    assert "2 images of 28 x 28 pixels" in capsys.readouterr().out
    (tmp_path / "file").write_text("in the way")
    assert cli.main([*options, "--output", "file/x"]) == 2
    assert "minitorch-cv: sample: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vea"], "MODEL expects one of dcgan_generator, .*vae.*; it is 'vea' .did you mean vae"),
        (["resnet18"], "MODEL expects one of "),
        (
            ["ddpm_unet_small"],
            "no trained weights of ddpm_unet_small come with the package; give --weights FILE, or take one of",
        ),
        (["vae", "--weights", "none.pth"], "there is none at none.pth"),
        (["conv_vae", "--weights", "vae"], "does not fit ConvVAE"),
        (["vae", "--weights", "vae", "--class", "7"], "--class expects a net that takes labels, .*; vae is none"),
        (["vae", "--weights", "vae", "--steps", "7"], "--steps expects a diffusion model, .*; vae is none"),
        (["ddpm_unet_small", "--weights", "ddpm_unet_small", "--guidance", "2"], "--guidance expects a net that takes"),
        (["ddpm_unet_digits", "--weights", "ddpm_unet_digits", "--class", "10"], "--class expects 0 to 9, or all; it"),
        (["ddpm_unet_digits", "--weights", "ddpm_unet_digits", "--steps", "1001"], "steps expects .* 1 to 1000"),
        (["ddpm_unet_digits", "--weights", "ddpm_unet_digits", "--eta", "2"], "eta expects a number in 0 .. 1"),
        (["ddpm_unet_digits", "--weights", "ddpm_unet_digits", "--guidance", "nan"], "--guidance expects a finite"),
        (["ddpm_unet_small", "--judge"], "--judge expects a model of digits, one of vae, .*; it is 'ddpm_unet_small'"),
        (
            ["vae", "--weights", "vae", "--judge", "--count", "64"],
            "--judge expects a --count of 1,000 or more; it is 64",
        ),
    ],
)
def test_wrong_arguments(weights, tmp_path, monkeypatch, capsys, arguments, message):
    import re

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_trained, "FOLDER", tmp_path)
    (tmp_path / "digit_classifier.safetensors").touch()
    given = [
        str(weights / f"{a}.safetensors") if before == "--weights" and "." not in a else a
        for before, a in zip(["", *arguments], arguments)
    ]
    assert cli.main(["sample", *given]) == 2
    told = capsys.readouterr()
    assert re.search(message, told.err) and not told.out
    assert not list(tmp_path.glob("*.npz"))


@pytest.mark.parametrize(
    ("option", "value"), [("--class", "seven"), ("--count", "0"), ("--seed", "-1"), ("--steps", "x")]
)
def test_what_is_no_number_is_refused(option, value, capsys):
    with pytest.raises(SystemExit):
        cli.main(["sample", "vae", option, value])
    assert "is expected" in capsys.readouterr().err


def test_weights_that_give_no_numbers(tmp_path, capsys):
    net = models.vae(generator=mt.Generator(0))
    net.fc4.bias.data[...] = np.nan
    save_weights(net, tmp_path / "broken.safetensors")
    arguments = ["sample", "vae", "--weights", str(tmp_path / "broken.safetensors"), "--output", str(tmp_path) + "/"]
    assert cli.main(arguments) == 2
    assert "what is no number" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["broken.safetensors"]


def test_ctrl_c_leaves_nothing(weights, tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(models.VAE, "sample", interrupted)
    path = str(weights / "vae.safetensors")
    assert cli.main(["sample", "vae", "--weights", path, "--output", str(tmp_path / "x")]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_judge_reports_beside_the_images(draw, tmp_path, weights, capsys):
    drawn = str(tmp_path / "judged")
    assert cli.main(["sample", "vae", "--weights", str(weights / "vae.safetensors"), "--judge", "--output", drawn]) == 0
    told = capsys.readouterr().out
    assert "1,000 samples, judged by digit_classifier" in told and "judged.json" in told and "asked for" not in told
    with np.load(f"{drawn}.npz") as archive:
        assert len(archive["images"]) == 1000
        report = mt.judge_digits(archive["images"])
    assert (tmp_path / "judged.json").read_text(encoding="utf-8") == report.to_json() + "\n"
    with Image.open(f"{drawn}.png") as picture:
        assert picture.size[1] < 2000, "not all thousand are shown"


SHIPPED = [name for name in _sample.NAMES if (_trained.FOLDER / f"{name}.safetensors").is_file()]


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_draws_at_once(name, tmp_path):
    options = ["--steps", "2"] if name.startswith("ddpm") else []
    done = subprocess.run(
        [sys.executable, "-m", "minitorch_cv", "sample", name, "--count", "2", *options],
        capture_output=True,
        encoding="utf-8",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{name}.npz", f"{name}.png"]
