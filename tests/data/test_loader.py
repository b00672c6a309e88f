"""The loader: right batches, and the same bits however it is stopped, resumed or prefetched."""

import copy
import gc
import re
import threading
import time

import numpy as np
import pytest

from minitorch_cv import data
from minitorch_cv._random import Generator

COUNT = 23


@pytest.fixture
def dataset():
    """Image i is filled with the value i; its label is i % 10."""
    images = np.arange(COUNT, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 6, 5), np.uint8)
    return data.Dataset(images, np.arange(COUNT) % 10)


AUGMENT = data.Compose([data.RandomCrop(4), data.RandomHorizontalFlip(), data.PCAColor([3, 2, 1], np.eye(3))])


def augmented(dataset, seed=0, prefetch=0, **settings):
    settings = {"batch_size": 4, "shuffle": True, "transform": AUGMENT} | settings
    return data.DataLoader(dataset, generator=Generator(seed), prefetch=prefetch, **settings)


def run(loader, passes):
    """The batches of some passes, as bytes."""
    return [[(x.tobytes(), y.tobytes()) for x, y in loader] for _ in range(passes)]


def own_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("minitorch-cv-data")]


@pytest.mark.parametrize("prefetch", [0, 1, 3, 50])
def test_batches_in_order_cover_the_data(dataset, prefetch):
    loader = data.DataLoader(dataset, 5, generator=Generator(0), prefetch=prefetch)
    batches = list(loader)
    assert [len(labels) for _, labels in batches] == [5, 5, 5, 5, 3] and len(loader) == 5
    images = np.concatenate([images for images, _ in batches])
    assert images.dtype == np.float32
    np.testing.assert_allclose(images, dataset.images / 255, rtol=1e-6)
    assert np.array_equal(np.concatenate([labels for _, labels in batches]), dataset.labels)


def test_drop_last_leaves_the_rest_out(dataset):
    loader = data.DataLoader(dataset, 5, drop_last=True, generator=Generator(0))
    assert [len(labels) for _, labels in loader] == [5, 5, 5, 5] and len(loader) == 4


def test_shuffling_gives_each_image_once_with_its_label_in_a_new_order_each_pass(dataset):
    loader = data.DataLoader(dataset, 4, shuffle=True, generator=Generator(0))
    orders = []
    for _ in range(3):
        values, labels = (np.concatenate(arrays) for arrays in zip(*loader, strict=True))
        numbers = np.rint(values[:, 0, 0, 0] * 255).astype(int)
        assert sorted(numbers) == list(range(COUNT)) and np.array_equal(numbers % 10, labels)
        orders.append(tuple(numbers))
    assert len(set(orders)) == 3 and tuple(range(COUNT)) not in orders


def test_the_seed_fixes_every_bit(dataset):
    assert run(augmented(dataset, 1), 2) == run(augmented(dataset, 1), 2) != run(augmented(dataset, 2), 2)


def test_two_loaders_of_one_generator_differ_and_its_later_use_changes_nothing(dataset):
    generator = Generator(0)
    first, second = (data.DataLoader(dataset, 4, shuffle=True, generator=generator) for _ in range(2))
    generator.random(100)
    expected = data.DataLoader(dataset, 4, shuffle=True, generator=Generator(0))
    assert run(first, 1) == run(expected, 1) != run(second, 1)


@pytest.mark.parametrize("prefetch", [1, 2, 7])
def test_prefetching_changes_no_bit(dataset, prefetch):
    assert run(augmented(dataset, prefetch=prefetch), 3) == run(augmented(dataset), 3)


@pytest.mark.parametrize(("before", "after"), [(0, 0), (3, 0), (0, 2), (2, 3)])
@pytest.mark.parametrize("stop", range(13))
def test_a_run_stopped_at_any_batch_and_resumed_sees_the_bits_of_an_unbroken_one(dataset, before, after, stop):
    """Two passes of six batches, stopped after `stop` batches; state goes through plain numbers, as in a file."""
    unbroken = [batch for batches in run(augmented(dataset), 2) for batch in batches]
    loader, seen, state = augmented(dataset, prefetch=before), [], None
    if stop == 0:
        state = loader.state_dict()
    for _ in range(2):
        for x, y in loader if state is None else ():
            seen.append((x.tobytes(), y.tobytes()))
            if len(seen) == stop:
                state = {name: type(value)(value) for name, value in loader.state_dict().items()}
                break
    resumed = augmented(dataset, seed=99, prefetch=after)
    resumed.load_state_dict(state)
    assert (resumed.epoch, resumed.batch) == (state["epoch"], state["batch"])
    while resumed.epoch < 2:
        seen += run(resumed, 1)[0]
    assert seen == unbroken


def test_resumed_after_the_last_batch_the_pass_is_over_at_once(dataset):
    loader = augmented(dataset)
    states = [loader.state_dict() for _ in loader]
    resumed = augmented(dataset)
    resumed.load_state_dict(states[-1])
    assert (resumed.epoch, resumed.batch) == (0, 6)
    assert run(resumed, 1) == [[]] and (resumed.epoch, resumed.batch) == (1, 0)
    assert run(resumed, 1) == run(loader, 1)


def test_each_for_is_a_whole_pass(dataset):
    """Looking at one batch does not shorten the pass that follows."""
    loader = data.DataLoader(dataset, 5, generator=Generator(0))
    first = next(iter(loader))[1]
    assert first.tolist() == [0, 1, 2, 3, 4]
    assert len(list(loader)) == 5 and loader.epoch == 2
    iter(loader)
    assert len(list(loader)) == 5 and loader.epoch == 3


def test_of_two_passes_at_once_the_newer_is_the_position(dataset):
    loader = augmented(dataset)
    older, newer = iter(loader), None
    next(older)
    newer = iter(loader)
    next(newer), next(newer)
    next(older)
    assert (loader.epoch, loader.batch) == (1, 2)
    assert len(list(older)) == 4 and (loader.epoch, loader.batch) == (1, 2)
    assert len(list(newer)) == 4 and (loader.epoch, loader.batch) == (2, 0)


def test_prefetching_stays_ahead_by_as_many_batches_and_no_more(dataset):
    prepared = []

    def watch(images, generator):
        prepared.append(len(images))
        return images

    iterator = iter(data.DataLoader(dataset, 2, transform=watch, prefetch=3, generator=Generator(0)))
    for handed_out in (1, 2, 3):
        next(iterator)
        deadline = time.monotonic() + 5
        while len(prepared) < handed_out + 3 and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.01)
        assert len(prepared) == handed_out + 3
    iterator.close()


def test_threads_end_with_the_pass_whether_whole_left_or_failed(dataset):
    def fail(images, generator):
        raise RuntimeError("a transform that fails")

    list(augmented(dataset, prefetch=2))
    for _ in augmented(dataset, prefetch=2):
        break
    gc.collect()
    assert not own_threads()
    with pytest.raises(RuntimeError, match=r"^a transform that fails$"):
        next(iter(data.DataLoader(dataset, 4, transform=fail, prefetch=2, generator=Generator(0))))
    assert not own_threads()


def test_what_the_third_batch_raises_comes_third(dataset):
    class Broken:
        def __len__(self):
            return COUNT

        def __getitem__(self, indices):
            if 10 in indices:
                raise OSError("picture 10 is gone")
            return dataset[indices]

    for prefetch in (0, 1, 5):
        iterator = iter(data.DataLoader(Broken(), 4, prefetch=prefetch, generator=Generator(0)))
        next(iterator), next(iterator)
        with pytest.raises(OSError, match=r"^picture 10 is gone$"):
            next(iterator)
    assert not own_threads()


def test_lazy_and_ten_crop_data_can_be_loaded():
    pictures = data.Glyphs(6, 16, generator=Generator(0))
    images, labels = next(iter(data.DataLoader(pictures, 4, transform=data.TenCrop(12), generator=Generator(0))))
    assert images.shape == (4, 10, 3, 12, 12) and images.dtype == np.float32 and 0 <= images.min() <= images.max() <= 1
    assert labels.tolist() == [0, 1, 2, 3]


def test_batches_are_float32_whatever_the_transform_gives(dataset):
    for dtype, scale in ((np.uint8, 255), (np.float32, 1), (np.float64, 1), (np.int64, 1)):
        loader = data.DataLoader(dataset, 4, transform=lambda x, g, t=dtype: x.astype(t), generator=Generator(0))
        images, _ = next(iter(loader))
        assert images.dtype == np.float32
        np.testing.assert_allclose(images, dataset.images[:4] / scale, rtol=1e-6)


def test_a_transform_that_loses_images_is_named(dataset):
    loader = data.DataLoader(dataset, 4, transform=lambda x, g: x[1:], generator=Generator(0))
    with pytest.raises(ValueError, match=r"as many images as labels; batch 0 has 3 images and 4 labels$"):
        next(iter(loader))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 64.5}, "batch_size expects a whole number; it is 64.5"),
        ({"batch_size": "64"}, "batch_size expects a whole number; it is '64'"),
        ({"batch_size": 4, "prefetch": 0.5}, "prefetch expects a whole number; it is 0.5"),
        ({"batch_size": 4, "transform": 3}, "transform expects a function; it is 3"),
    ],
)
def test_settings_of_another_type_are_refused(dataset, settings, message):
    with pytest.raises(TypeError, match=f"^DataLoader: {message}$"):
        data.DataLoader(dataset, generator=Generator(0), **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size expects 1 or more; it is 0"),
        (
            {"batch_size": 24, "drop_last": True},
            "batch_size with drop_last expects at most the 23 images of the dataset; it is 24, which leaves no batch",
        ),
        ({"batch_size": 4, "prefetch": -1}, "prefetch expects 0 or more batches; it is -1"),
    ],
)
def test_impossible_settings_are_refused(dataset, settings, message):
    with pytest.raises(ValueError, match=f"^DataLoader: {message}$"):
        data.DataLoader(dataset, generator=Generator(0), **settings)
    with pytest.raises(ValueError, match=r"^DataLoader: dataset expects at least one image; it is empty$"):
        data.DataLoader(dataset.subset([]), 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 5}, "state expects batch_size = 4, as this loader; it has 5"),
        ({"images": 24}, "state expects images = 23, as this loader; it has 24"),
        ({"shuffle": False}, "state expects shuffle = True, as this loader; it has False"),
        ({"batch": 7}, "state expects epoch >= 0 and batch in 0 .. 6; they are 0 and 7"),
        ({"extra": 1}, "state expects the entries ["),
    ],
)
def test_a_state_of_another_loader_is_refused_and_changes_nothing(dataset, change, message):
    loader = augmented(dataset)
    before = copy.deepcopy(loader.state_dict())
    with pytest.raises(ValueError, match="^" + re.escape(f"DataLoader: {message}")):
        loader.load_state_dict(before | change)
    assert loader.state_dict() == before
