"""Files that libhdf5 itself fails on: a second process reads each file first, and is ended if need be."""

import os
import signal
import threading
import time
from pathlib import Path

import h5py
import pytest

from lookwhy import hdf5
from lookwhy.errors import LookwhyError


def endless(path):
    """Write a file in whose heap of texts an object has the size 0: libhdf5 never comes to the heap's end."""
    with h5py.File(path, "w") as file:
        file.create_dataset("texts", data=["first", "second"], dtype=h5py.string_dtype())
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL")
    content[heap + 16 : heap + 32] = bytes(16)
    path.write_bytes(content)
    return path


@pytest.fixture(autouse=True)
def own_process():
    """Tests neither use a process of another test nor leave one."""
    hdf5._reader.close()
    yield
    hdf5._reader.close()


@pytest.mark.skipif(not hasattr(signal, "SIGXCPU"), reason="only Unix limits the time of a process")
def test_a_file_that_libhdf5_never_ends_to_read_is_refused_in_one_line_and_others_are_read_after_it(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(hdf5, "SECONDS", 1)
    path = endless(tmp_path / "data.h5")
    with pytest.raises(LookwhyError) as caught:
        hdf5.open_hdf5(path)
    found = f"found one that HDF5 itself fails on (no end after {hdf5.SECONDS} s) in {path}"
    assert str(caught.value) == f"expected a whole HDF5 file, {found}; copy it again, or write it again"
    with h5py.File(tmp_path / "sound.h5", "w") as file:
        file["numbers"] = [1, 2, 3]
    with hdf5.open_hdf5(tmp_path / "sound.h5") as file:
        assert file["numbers"][:].tolist() == [1, 2, 3]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
def test_a_crash_ends_the_second_process_only(tmp_path):
    path = endless(tmp_path / "data.h5")

    def crash():
        while (process := hdf5._reader._process) is None:
            time.sleep(0.01)
        time.sleep(0.2)
        process.send_signal(signal.SIGSEGV)

    threading.Thread(target=crash).start()
    with pytest.raises(LookwhyError, match=r"HDF5 itself fails on \(signal 11\)"):
        hdf5.open_hdf5(path)


def test_a_file_is_read_first_once_and_again_when_it_has_changed(tmp_path):
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as file:
        file["numbers"] = [1]
    for expected in (True, False):
        hdf5.open_hdf5(path).close()
        assert (hdf5._reader._process is not None) == expected
        hdf5._reader.close()
    with h5py.File(path, "a") as file:
        file["more"] = [1]
    hdf5.open_hdf5(path).close()
    process = hdf5._reader._process
    assert process.wait(hdf5.IDLE + 30) == 0, "an idle process ends"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_fork_reads_by_a_process_of_its_own(tmp_path):
    for name in ("a.h5", "b.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            file["numbers"] = [1]
    hdf5.open_hdf5(tmp_path / "a.h5").close()
    before = hdf5._reader._process
    if (child := os.fork()) == 0:
        code = 1
        try:
            hdf5.open_hdf5(tmp_path / "b.h5").close()
            code = int(hdf5._reader._process.pid == before.pid)
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    hdf5.open_hdf5(tmp_path / "b.h5").close()
    hdf5._reader.close()
    assert before.returncode == 0


def test_what_is_no_file_or_no_hdf5_file_is_an_ordinary_error(tmp_path):
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(OSError, match="signature"):
        hdf5.open_hdf5(tmp_path / "text.h5")
    with pytest.raises(FileNotFoundError):
        hdf5.open_hdf5(tmp_path / "missing.h5")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_is_an_ordinary_error():
    with pytest.raises(OSError, match="No space left"), hdf5.new_hdf5(Path("/dev/full")) as file:
        file["numbers"] = [1, 2, 3]
