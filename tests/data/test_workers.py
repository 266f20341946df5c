"""Work in worker processes: results in order, errors when it is their turn, the global random state untouched."""

import multiprocessing
import os
import pickle
import signal
from functools import partial
from pathlib import Path

import pytest
import torch

from lookwhy.data.decoding import _resized
from lookwhy.data.workers import in_workers
from lookwhy.errors import LookwhyError
from lookwhy.towers.shapes_cnn import RECIPE


def power(exponent, number):
    if number == 3:
        raise LookwhyError("expected another number, found 3")
    return {"value": number**exponent, "process": os.getpid()}


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 2])
def test_results_come_in_order_and_an_error_when_it_is_its_turn(workers):
    before, found = torch.get_rng_state(), []
    with (
        pytest.raises(LookwhyError, match=r"\Aexpected another number, found 3\Z"),
        in_workers(partial(power, 2), range(6), workers) as results,
    ):
        for result in results:
            found.append(result)
    assert [one["value"] for one in found] == [0, 1, 4]
    assert len({one["process"] for one in found} - {os.getpid()}) == workers
    assert torch.equal(torch.get_rng_state(), before)
    assert not multiprocessing.active_children()


def kill_itself(number):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_worker_process_is_one_line_with_the_remedy_of_its_command():
    with (
        pytest.raises(LookwhyError, match=r"\Aexpected each worker process [^\n]*killed [^\n]*; try this\Z"),
        in_workers(kill_itself, range(3), 1, remedy="try this") as results,
    ):
        list(results)


def test_the_work_of_decoding_can_be_sent_to_a_process_that_shares_no_memory():
    pickle.loads(pickle.dumps(partial(_resized, Path(), RECIPE)))
