import pytest

from codec import Codec


@pytest.fixture(scope="module")
def codec():
    codec = Codec()
    yield codec
    codec.close()
