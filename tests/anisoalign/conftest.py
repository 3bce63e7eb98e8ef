"""What tests of the polar stages share."""

import numpy as np
import pytest
import torch


@pytest.fixture(scope="session")
def in_leading_directions(make_planted):
    """Maker of 300 planted sources and targets, and a basis of their leading directions: dim, rank."""

    def make(dim: int, rank: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        planted = make_planted(300, dim)
        both = np.cov(planted.source.T) + np.cov(planted.target.T)
        basis = np.ascontiguousarray(np.linalg.eigh(both)[1][:, : -rank - 1 : -1])
        return torch.from_numpy(planted.source), torch.from_numpy(planted.target), torch.from_numpy(basis)

    return make
