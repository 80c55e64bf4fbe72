import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """As the processes that tests start: another number of threads may add up in another order."""
    torch.set_num_threads(1)
