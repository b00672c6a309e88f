"""Batches of a dataset: shuffled, transformed and prefetched, with a position that can be saved and restored."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np

from minitorch_cv._arguments import whole_number
from minitorch_cv._random import Generator, default_generator
from minitorch_cv.data.transforms import Transform

# In a pass, number 0 of its generator's children is the order of the images; batch k is transformed with number k + 1.
_ORDER = 0

Batch = tuple[np.ndarray, np.ndarray]


class ImageDataset(Protocol):
    """What the loader needs of a dataset: its length, and images and labels at an array of whole numbers."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> tuple[np.ndarray, np.ndarray]: ...


class DataLoader:
    """The batches (images, labels) of a dataset, pass after pass.

    `for images, labels in loader` is one pass (epoch). A new `for` starts a new pass, in a new order if `shuffle`;
    the first one after `load_state_dict` goes on with the saved pass instead.

    Every random number is fixed by the seed that the loader draws from `generator` when it is made, the number of the
    pass and the number of the batch. So a batch does not depend on prefetching, nor on what was loaded before, and a
    run that is stopped and resumed sees the same bits as an unbroken one.

    Shapes: images (B, C, H, W) as the transform makes them; labels (B,). The last batch of a pass is smaller where
    `batch_size` does not divide the number of images, or is left out with `drop_last`.
    Units: images float32; where the transform leaves uint8, divided by 255.
    Raises: ValueError for an empty dataset or a batch size below 1; TypeError for one that is not whole. What dataset
    or transform raise comes out of the `for`, from a prefetching thread too.

    dataset: anything with `len(dataset)` and `dataset[indices]`.
    transform: called as `transform(images, generator)`.
    prefetch: how many batches a thread prepares ahead; 0 prepares each when it is asked for.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        batch_size: int,
        shuffle: bool = False,
        generator: Generator | None = None,
        transform: Transform | None = None,
        drop_last: bool = False,
        prefetch: int = 0,
    ):
        if not len(dataset):
            raise ValueError("DataLoader: dataset expects at least one image; it is empty")
        batch_size = whole_number("DataLoader: batch_size", batch_size, 1)
        prefetch = whole_number("DataLoader: prefetch", prefetch, 0, " batches")
        if transform is not None and not callable(transform):
            raise TypeError(f"DataLoader: transform expects a function; it is {transform!r}")
        if drop_last and batch_size > len(dataset):
            raise ValueError(
                f"DataLoader: batch_size with drop_last expects at most the {len(dataset)} images of the dataset; "
                f"it is {batch_size}, which leaves no batch"
            )
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, bool(shuffle)
        self.transform, self.drop_last, self.prefetch = transform, bool(drop_last), prefetch
        self._seed = int((generator or default_generator()).integers(0, 2**63))
        self._epoch, self._batch = 0, 0
        self._resumed = False
        self._pass: object = None

    def __len__(self) -> int:
        """The number of batches in a pass."""
        count = len(self.dataset)
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def __repr__(self) -> str:
        notes = f"batch_size={self.batch_size}, shuffle={self.shuffle}"
        notes += f", transform={self.transform!r}" if self.transform is not None else ""
        notes += ", drop_last=True" if self.drop_last else ""
        notes += f", prefetch={self.prefetch}" if self.prefetch else ""
        return f"DataLoader({self.dataset!r}; {notes})"

    @property
    def epoch(self) -> int:
        """The number of the pass that is under way or comes next; the first is 0."""
        return self._epoch

    @property
    def batch(self) -> int:
        """How many batches of the pass have been handed out."""
        return self._batch

    def __iter__(self) -> Iterator[Batch]:
        if self._batch and not self._resumed:  # the pass before was left in its middle
            self._epoch, self._batch = self._epoch + 1, 0
        self._resumed = False
        self._pass = token = object()
        return self._iterate(self._epoch, self._batch, token)

    def _iterate(self, epoch: int, first: int, token: object) -> Iterator[Batch]:
        order = self._order(epoch)
        prepared = self._prepare_ahead if self.prefetch else self._prepare_each
        batches = prepared(epoch, order, range(first, len(self)))
        try:
            for number, batch in zip(range(first, len(self)), batches, strict=True):
                # Of two passes at once, the newer one is the loader's position.
                if self._pass is token:
                    self._batch = number + 1
                yield batch
            if self._pass is token:
                self._epoch, self._batch = epoch + 1, 0
        finally:
            batches.close()

    def _order(self, epoch: int) -> np.ndarray:
        if not self.shuffle:
            return np.arange(len(self.dataset))
        return self._generator(epoch, _ORDER).permutation(len(self.dataset))

    def _generator(self, epoch: int, number: int) -> Generator:
        return Generator(self._seed).spawn(epoch).spawn(number)

    def _prepare(self, epoch: int, order: np.ndarray, number: int) -> Batch:
        images, labels = self.dataset[order[number * self.batch_size : (number + 1) * self.batch_size]]
        if self.transform is not None:
            images = self.transform(images, self._generator(epoch, number + 1))
        if len(images) != len(labels):
            raise ValueError(
                f"DataLoader: dataset and transform expect as many images as labels; "
                f"batch {number} has {len(images)} images and {len(labels)} labels"
            )
        # Ten crops of each image have five axes, so the dtype alone decides.
        if images.dtype == np.uint8:
            return images * np.float32(1 / 255), labels
        return np.asarray(images, np.float32), labels

    def _prepare_each(self, epoch: int, order: np.ndarray, numbers: range):
        for number in numbers:
            yield self._prepare(epoch, order, number)

    def _prepare_ahead(self, epoch: int, order: np.ndarray, numbers: range):
        """Keeps `prefetch` batches in the hands of one thread, which ends with the generator."""
        waiting: deque[Future[Batch]] = deque()
        remaining = iter(numbers)
        executor = ThreadPoolExecutor(1, thread_name_prefix="minitorch-cv-data")
        try:
            for number in remaining:
                waiting.append(executor.submit(self._prepare, epoch, order, number))
                if len(waiting) > self.prefetch:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            executor.shutdown(wait=True, cancel_futures=True)

    def state_dict(self) -> dict[str, int | bool]:
        """The position in the data: what `load_state_dict` needs to hand out next what this loader would."""
        return {
            "seed": self._seed,
            "epoch": self._epoch,
            "batch": self._batch,
            "images": len(self.dataset),
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "drop_last": self.drop_last,
        }

    def load_state_dict(self, state: dict[str, int | bool]) -> None:
        """Goes on where `state` was saved; the loader must have been made with the same data and arguments.

        Saved between two batches, the pass goes on with the second; saved after the last, the next `for` is over at
        once, as in the run that was saved; saved after the `for`, it is the next pass.
        Raises: ValueError for missing entries, other data or other arguments; the position then stays as it is.
        """
        own = self.state_dict()
        if set(state) != set(own):
            raise ValueError(f"DataLoader: state expects the entries {sorted(own)}; it has {sorted(state)}")
        for name in ("images", "batch_size", "shuffle", "drop_last"):
            if state[name] != own[name]:
                raise ValueError(
                    f"DataLoader: state expects {name} = {own[name]}, as this loader; it has {state[name]}"
                )
        if not (0 <= state["batch"] <= len(self) and 0 <= state["epoch"]):
            raise ValueError(
                f"DataLoader: state expects epoch >= 0 and batch in 0 .. {len(self)}; "
                f"they are {state['epoch']} and {state['batch']}"
            )
        self._seed, self._epoch, self._batch = int(state["seed"]), int(state["epoch"]), int(state["batch"])
        self._resumed, self._pass = True, None
