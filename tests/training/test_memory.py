"""Memory that is freed stays with the process, once it is asked for."""

import multiprocessing
import platform
import resource

import pytest
import torch

from aninfonce.training import fit
from aninfonce.training.memory import keep_freed_memory

MEGABYTES = 48  # above what glibc keeps by itself


def faults_before_and_after(sender):
    """Page faults of three steps, without and then with the setting, in a process of its own."""
    assert callable(fit)  # with what a training process has loaded: the heap is as it is there
    found = []
    for keep in (False, True):
        took_effect = keep_freed_memory() if keep else False
        for step in range(6):  # the first ones find their place
            if step == 3:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            torch.ones(MEGABYTES * 2**18)
        found.append((took_effect, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before))
    sender.send(found)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_what_a_step_frees_the_next_one_has_without_page_faults():
    spawn = multiprocessing.get_context("spawn")  # the setting must not reach the other tests
    receiver, sender = spawn.Pipe(duplex=False)
    child = spawn.Process(target=faults_before_and_after, args=(sender,))
    child.start()
    child.join(120)
    found = receiver.recv()
    pages = MEGABYTES * 2**20 // resource.getpagesize()
    assert found[True][0]
    assert found[True][1] < 0.05 * pages
    assert found[False][1] > 2 * pages
