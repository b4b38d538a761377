"""The images of the tiny runs."""

import pytest

from aninfonce.data import load_images


@pytest.fixture(scope="session")
def images():
    return load_images("digits").train.images[:256]
