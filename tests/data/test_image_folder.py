"""Folders of pictures: classes by subfolder, decoded when asked for, damaged pictures named."""

import re

import numpy as np
import pytest
from PIL import Image

from minitorch_cv.data import image_folder


@pytest.fixture
def pictures(tmp_path):
    """Random 6 x 9 (height x width) PNG pictures: two dogs, one of them deeper, and a cat."""
    rng = np.random.default_rng(0)
    made = {}
    for name in ("dog/b.png", "dog/deeper/a.PNG", "cat/c.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        made[name] = rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)
        Image.fromarray(made[name]).save(path)
    (tmp_path / "notes.txt").write_text("not a class", encoding="utf-8")
    (tmp_path / ".hidden").mkdir()
    return tmp_path, made


def test_classes_are_subfolders_and_pixels_are_kept(pictures):
    root, made = pictures
    dataset = image_folder(root)
    images, labels = dataset[:]
    assert dataset.classes == ("cat", "dog") and labels.tolist() == [0, 1, 1] and len(dataset) == 3
    for image, name in zip(images, ("cat/c.png", "dog/b.png", "dog/deeper/a.PNG"), strict=True):
        assert np.array_equal(image, made[name].transpose(2, 0, 1))
    image, label = dataset[2]
    assert image.shape == (3, 6, 9) and label == 1
    assert np.array_equal(dataset[np.array([2, 0])][0], images[[2, 0]])
    loaded = dataset.load()
    assert np.array_equal(loaded.images, images) and loaded.classes == dataset.classes


def test_size_scales_the_shorter_side_and_cuts_the_centre(tmp_path):
    (tmp_path / "a").mkdir()
    picture = np.zeros((40, 120, 3), np.uint8)
    picture[:, 40:80] = 200  # exactly the central square
    Image.fromarray(picture).save(tmp_path / "a" / "wide.png")
    Image.fromarray(picture.transpose(1, 0, 2).copy()).save(tmp_path / "a" / "tall.png")
    images, _ = image_folder(tmp_path, size=20)[:]
    assert images.shape == (2, 3, 20, 20)
    assert (images[:, :, 2:-2, 2:-2] == 200).all()


def test_grey_and_jpeg_pictures_become_rgb(tmp_path):
    (tmp_path / "a").mkdir()
    Image.fromarray(np.full((8, 8), 130, np.uint8)).save(tmp_path / "a" / "grey.png")
    Image.fromarray(np.full((8, 8, 3), 130, np.uint8)).save(tmp_path / "a" / "photo.jpg")
    images, _ = image_folder(tmp_path)[:]
    assert images.shape == (2, 3, 8, 8) and np.abs(images.astype(int) - 130).max() <= 2


def test_pictures_taken_sideways_are_turned(tmp_path):
    (tmp_path / "a").mkdir()
    picture = Image.fromarray(np.zeros((4, 10, 3), np.uint8))
    exif = picture.getexif()
    exif[0x0112] = 6  # Orientation: turn by 90 degrees
    picture.save(tmp_path / "a" / "sideways.jpg", exif=exif)
    assert image_folder(tmp_path)[0][0].shape == (3, 10, 4)


@pytest.mark.parametrize("kept", [0, 30, -20])
def test_damaged_picture_is_named(pictures, kept):
    root, _ = pictures
    path = root / "cat" / "c.png"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(
        ValueError, match="^" + re.escape(f"image_folder: {path} expects a whole PNG, JPEG, WebP or BMP; ")
    ):
        image_folder(root)[:]


def test_png_with_any_flipped_byte_of_pixels_is_named(pictures):
    root, _ = pictures
    path = root / "cat" / "c.png"
    whole = path.read_bytes()
    start = whole.index(b"IDAT") + 4
    for position in range(start, whole.index(b"IEND") - 4):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        with pytest.raises(ValueError, match=re.escape(str(path))):
            image_folder(root)[:]


def test_jpeg_cut_short_is_named(tmp_path):
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "photo.jpg"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(
        ValueError, match="^" + re.escape(f"image_folder: {path} expects a whole PNG, JPEG, WebP or BMP; ")
    ):
        image_folder(tmp_path)[:]


def test_pictures_of_two_sizes_without_size_are_named(pictures):
    root, _ = pictures
    Image.fromarray(np.zeros((5, 5, 3), np.uint8)).save(root / "dog" / "b.png")
    message = f"{root / 'dog' / 'b.png'} expects the shape (3, 6, 9) of {root / 'cat' / 'c.png'}; it is (3, 5, 5)"
    with pytest.raises(ValueError, match="^image_folder: " + re.escape(message)):
        image_folder(root)[:]


def test_folders_without_pictures_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^image_folder: path expects a folder; there is none at .*none$"):
        image_folder(tmp_path / "none")
    with pytest.raises(ValueError, match=r"it has .* without subfolders$"):
        image_folder(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"it has empty of .* without any$"):
        image_folder(tmp_path)
    with pytest.raises(ValueError, match=r"^image_folder: size expects 1 or more pixels; it is 0$"):
        image_folder(tmp_path, size=0)
