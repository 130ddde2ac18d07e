import os
import threading

import h5py
import numpy as np

from ringwatch_daemon.sinks.sealed_file import SealedFile

FLAGS_AT = 11


def growing(path, datasets: int = 40) -> tuple[SealedFile, list[h5py.Dataset]]:
    sealed = SealedFile.made(path)
    made = [
        sealed.file.create_dataset(f"entry/d{number}", shape=(0,), maxshape=(None,), chunks=(64,), dtype="f8")
        for number in range(datasets)
    ]
    sealed.begin_growing(batch_bytes=2**20)
    return sealed, made


def add(sealed: SealedFile, datasets: list[h5py.Dataset], rows: int) -> None:
    for dataset in datasets:
        dataset.resize(rows, axis=0)
        dataset[:] = np.arange(rows)
    sealed.hold()
    for dataset in datasets:
        dataset.id.flush()


def test_a_file_that_is_closed_says_at_no_moment_that_it_is_open_for_writing(tmp_path):
    for attempt in range(5):
        path = tmp_path / f"{attempt}.h5"
        sealed, datasets = growing(path)
        add(sealed, datasets, 1000)
        seen, stop = set(), threading.Event()

        def look(path=path, seen=seen, stop=stop) -> None:
            file = os.open(path, os.O_RDONLY)
            while not stop.is_set():
                seen.add(os.pread(file, 1, FLAGS_AT))
            os.close(file)

        looking = threading.Thread(target=look)
        looking.start()
        sealed.close()
        stop.set()
        looking.join()
        assert seen == {b"\0"}


def test_a_closed_file_has_every_row_keeps_no_reserve_and_can_be_taken_up_again(tmp_path):
    path = tmp_path / "f.h5"
    sealed, datasets = growing(path)
    add(sealed, datasets, 1000)
    held = path.stat().st_size
    sealed.close()
    assert path.stat().st_size < held - 2**20
    again = SealedFile.reopened(path)
    datasets = [again.entry[name] for name in again.entry]
    again.begin_growing(batch_bytes=2**20)
    add(again, datasets, 3000)
    again.close()
    with h5py.File(path, "r+") as file:
        for name in file["entry"]:
            np.testing.assert_array_equal(file["entry"][name], np.arange(3000))
