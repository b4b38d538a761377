"""Memory that is freed stays with the process, once it is asked for."""

import multiprocessing
import platform
import resource

import pytest
import torch

from aninfonce.training.memory import keep_freed_memory

MEGABYTES = 48  # above what glibc keeps by itself


def faults_of_the_next_steps(keep, sender):
    took_effect = keep_freed_memory() if keep else False
    for step in range(6):  # the first ones find their place
        if step == 3:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(MEGABYTES * 2**18)
    sender.send((took_effect, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_what_a_step_frees_the_next_one_has_without_page_faults():
    fork = multiprocessing.get_context("fork")  # the setting must not reach the other tests
    found = {}
    for keep in (False, True):
        receiver, sender = fork.Pipe(duplex=False)
        child = fork.Process(target=faults_of_the_next_steps, args=(keep, sender))
        child.start()
        child.join(60)
        found[keep] = receiver.recv()
    pages = MEGABYTES * 2**20 // resource.getpagesize()
    assert found[True][0]
    assert found[True][1] < 0.05 * pages
    assert found[False][1] > 2 * pages
