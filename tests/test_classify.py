"""Photographs of all kinds through `minitorch-cv classify`: what is seen, what is drawn, and what cannot be read."""

import struct

import numpy as np
import pytest
from PIL import Image

import minitorch_cv as mt
from minitorch_cv import _classify, cli, data, models
from minitorch_cv.weights import save_weights

SIZES = ["--size", "32", "--resize", "40"]


@pytest.fixture
def weights(tmp_path):
    """The smallest ResNet that the command can load, seven classes."""
    net = models.resnet20(num_classes=7, generator=mt.Generator(0))
    path = tmp_path / "weights.safetensors"
    save_weights(net, path)
    return path


@pytest.fixture
def picture():
    """60 wide, 44 high, red growing to the right, green downwards."""
    across, down = np.meshgrid(np.arange(60) * 4, np.arange(44) * 5)
    return np.stack([across, down, np.full_like(down, 90)], axis=-1).astype(np.uint8)


def test_the_middle_is_cut_out_as_torchvision_does(picture, tmp_path):
    path = tmp_path / "p.png"
    Image.fromarray(picture).save(path)
    found = data.read_photograph(path, 32, 40)
    assert found.shape == (3, 32, 32) and found.dtype == np.uint8
    scaled = np.asarray(Image.fromarray(picture).resize((54, 40), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(found, scaled[4:36, 11:43].transpose(2, 0, 1))
    standard = data.standardized_photographs(found[None])
    assert standard.dtype == np.float32
    expected = (found[1, 0, 0] / 255 - 0.456) / 0.224
    assert standard[0, 1, 0, 0] == pytest.approx(expected, abs=1e-6)


def test_kinds_of_pictures(picture, tmp_path):
    photo = Image.fromarray(picture)
    grey = photo.convert("L")
    sixteen = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    clear = Image.merge("RGBA", (*photo.split(), Image.new("L", photo.size, 0)))
    palette = photo.quantize(16)
    for name, image in {"l": grey, "i16": sixteen, "rgba": clear, "p": palette, "la": grey.convert("LA")}.items():
        image.save(tmp_path / f"{name}.png")
    read = {path.stem: data.read_photograph(path, 32, 40).astype(int) for path in tmp_path.glob("*.png")}
    assert (read["l"][0] == read["l"][1]).all() and (read["l"][0] == read["l"][2]).all()
    assert abs(read["i16"] - read["l"]).max() <= 1
    assert (read["rgba"] == 255).all(), "what is transparent is white"
    photo.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    photo.save(tmp_path / "rgb.jpg", quality=95)
    colours = data.read_photograph(tmp_path / "rgb.jpg", 32, 40).astype(int)
    assert abs(data.read_photograph(tmp_path / "cmyk.jpg", 32, 40) - colours).mean() < 6
    # A phone held upright: the pixels lie on their side, and EXIF says so.
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(picture)).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    assert abs(data.read_photograph(tmp_path / "turned.jpg", 32, 40) - colours).mean() < 3


def test_the_command_tells_the_best_classes_and_goes_on_behind_a_broken_picture(picture, weights, tmp_path, capsys):
    good, broken = tmp_path / "good.png", tmp_path / "broken.jpg"
    Image.fromarray(picture).save(good)
    Image.fromarray(picture).save(broken)
    broken.write_bytes(broken.read_bytes()[:300])
    (tmp_path / "text.png").write_text("no picture")
    paths = [str(broken), str(good), str(tmp_path / "text.png"), str(tmp_path / "none.jpg"), str(good)]
    seen = tmp_path / "seen"
    options = ["--model", "resnet20", "--weights", str(weights), *SIZES, "--top", "3", "--figures", str(seen)]
    assert cli.main(["classify", *paths, *options]) == 1
    told = capsys.readouterr()
    assert told.out.count("good.png  (") == 2 and told.out.count("figure: ") == 2 and told.err.count("expects a") == 3
    for name in ("broken.jpg", "text.png", "none.jpg"):
        assert name in told.err
    assert "3 of 5 photographs could not be read" in told.err
    assert sorted(path.name for path in seen.iterdir()) == ["good.png.classes.png", "good.png.classes1.png"]
    with Image.open(seen / "good.png.classes.png") as drawn:
        assert drawn.size[0] > 400

    net = models.resnet20(num_classes=7, generator=mt.Generator(0)).eval()
    with mt.no_grad():
        x = data.standardized_photographs(data.read_photograph(good, 32, 40)[None])
        logits = net(mt.Tensor(x)).numpy()[0].astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum()
    lines = [line.split() for line in told.out.splitlines()[1:4]]
    best = np.argsort(-shares)[:3]
    assert [line[1] for line in lines] == [str(i) for i in best]
    assert [line[0] for line in lines] == [f"{shares[i]:.1%}" for i in best]


def test_names_of_classes_are_ones_own_or_imagenets(picture, weights, tmp_path, capsys):
    Image.fromarray(picture).save(tmp_path / "p.png")
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"leaf {i}" for i in range(7)) + "\n")
    options = ["--model", "resnet20", "--weights", str(weights), *SIZES]
    assert cli.main(["classify", str(tmp_path / "p.png"), *options, "--classes", str(names)]) == 0
    assert capsys.readouterr().out.count("leaf ") == 5
    names.write_text("one\ntwo\n")
    assert cli.main(["classify", str(tmp_path / "p.png"), *options, "--classes", str(names)]) == 2
    assert "--classes expects 7 names, one a line; there are 2" in capsys.readouterr().err
    classes = data.imagenet_classes()
    assert (
        len(classes) == 1000 and classes[0] == "tench" and classes[281] == "tabby" and classes[999] == "toilet tissue"
    )


def test_wrong_arguments(weights, tmp_path, capsys):
    photo = str(tmp_path / "p.png")
    assert cli.main(["classify", photo, "--model", "resnet21", "--weights", str(weights)]) == 2
    assert "--model expects one of alexnet" in capsys.readouterr().err
    assert cli.main(["classify", photo, "--model", "resnet20", "--weights", str(tmp_path / "none.pth")]) == 2
    assert "there is none at" in capsys.readouterr().err
    assert cli.main(["classify", photo, "--model", "plain20", "--weights", str(tmp_path)]) == 2
    assert cli.main(["classify", photo, "--model", "resnet32", "--weights", str(weights)]) == 2
    assert "missing: layer1.3" in capsys.readouterr().err


def test_a_googlenet_of_ones_own_sees_what_it_was_trained_on(tmp_path):
    """Only the published file, which has auxiliary heads, was trained on images in -1 .. 1."""
    for aux, name in ((False, "own"), (True, "published")):
        net = models.googlenet(5, aux=aux, generator=mt.Generator(0))
        save_weights(net, tmp_path / f"{name}.safetensors")
        found, _ = _classify.load_classifier("googlenet", tmp_path / f"{name}.safetensors")
        assert found.transform_input is aux


def test_weights_for_grey_images_are_named(tmp_path, capsys):
    save_weights(models.resnet20(7, in_channels=1), tmp_path / "grey.safetensors")
    Image.new("L", (40, 40)).save(tmp_path / "p.png")
    options = ["--model", "resnet20", "--weights", str(tmp_path / "grey.safetensors")]
    assert cli.main(["classify", str(tmp_path / "p.png"), *options]) == 2
    assert "expects those of a net that looks at colour photographs" in capsys.readouterr().err


def test_figures_never_take_a_photographs_place(picture, weights, tmp_path, capsys):
    path = tmp_path / "cost $x$ \\q.png"
    Image.fromarray(picture).save(path)
    before = path.read_bytes()
    options = ["--model", "resnet20", "--weights", str(weights), "--figures", str(tmp_path)]
    assert cli.main(["classify", str(path), *options]) == 0
    assert path.read_bytes() == before and (tmp_path / f"{path.name}.classes.png").exists()


def test_a_strip_of_a_picture_takes_little_memory(tmp_path):
    Image.new("L", (1, 30000), 200).save(tmp_path / "strip.png")
    found = data.read_photograph(tmp_path / "strip.png")
    assert found.shape == (3, 224, 224) and (found == 200).all()


def test_numbers_that_make_no_sense(picture, weights, tmp_path, capsys):
    path = str(tmp_path / "p.png")
    Image.fromarray(picture).save(path)
    options = ["classify", path, "--model", "resnet20", "--weights", str(weights)]
    for wrong in (["--top", "-8"], ["--size", "0"], ["--resize", "x"]):
        with pytest.raises(SystemExit):
            cli.main([*options, *wrong])
        assert "whole number from 1 on" in capsys.readouterr().err
    assert cli.main([*options, "--resize", "20"]) == 2
    assert "--resize expects at least the 32 pixels of --size; it is 20" in capsys.readouterr().err
    net = models.alexnet(num_classes=4, channels=(4, 4, 4, 4, 4), hidden=8)
    with pytest.raises(ValueError, match="AlexNet cannot look at 32 x 32 pixels"):
        _classify.check_size(net, 32)


def test_a_picture_that_is_too_large_to_trust_is_refused(tmp_path):
    """A PNG of a few bytes that claims 60000 x 60000 pixels."""
    import zlib

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    with pytest.raises(ValueError, match=r"read_photograph: .*bomb\.png expects a whole PNG, JPEG, WebP or BMP"):
        data.read_photograph(path)


def test_sizes_that_do_not_fit(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "p.png")
    with pytest.raises(ValueError, match="resize expects at least size, 224 pixels; it is 200"):
        data.read_photograph(tmp_path / "p.png", 224, 200)
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        data.read_photograph(tmp_path / "none.png")
