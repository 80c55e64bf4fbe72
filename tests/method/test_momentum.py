"""The key encoder starts as the query encoder, gets no gradient, and follows step by step (figure 4)."""

import numpy as np
import pytest
import torch

from clicv2lite.method.encoder import EncoderConfig
from clicv2lite.method.momentum import QueryAndKey

SHAPE = EncoderConfig(size=8, patch=4, width=8, depth=1, heads=2, project=6)


def pair(momentum=0.9, seed=0):
    torch.manual_seed(seed)
    return QueryAndKey(SHAPE, momentum)


def weights(*parts):
    return [p.detach().double().numpy().copy() for part in parts for p in part.parameters()]


def test_the_key_starts_equal_to_the_query_and_is_not_trained():
    both = pair()
    for query, key in ((both.query, both.key), (both.query_head, both.key_head)):
        assert all(a.equal(b) for a, b in zip(query.parameters(), key.parameters(), strict=True))
        assert not any(p.requires_grad for p in key.parameters())
    assert all(p.requires_grad for p in both.query_head.parameters())
    assert both.query.patch_embed.proj.weight.data_ptr() != both.key.patch_embed.proj.weight.data_ptr()


@pytest.mark.parametrize("momentum", [0.0, 0.9, 1.0])
def test_the_key_follows_as_a_moving_average(momentum):
    both, generator = pair(momentum), torch.Generator().manual_seed(1)
    want = weights(both.key, both.key_head)
    for _ in range(3):
        with torch.no_grad():
            for p in (*both.query.parameters(), *both.query_head.parameters()):
                p.add_(torch.randn(p.shape, generator=generator))
        query = weights(both.query, both.query_head)
        want = [momentum * old + (1 - momentum) * new for old, new in zip(want, query, strict=True)]
        both.update_key()
    for got, wanted in zip(weights(both.key, both.key_head), want, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_a_seed_gives_the_same_weights_again():
    same, other = weights(pair().query, pair().query_head), weights(pair(seed=1).query, pair(seed=1).query_head)
    assert all(np.array_equal(a, b) for a, b in zip(same, weights(pair().query, pair().query_head), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(same, other, strict=True))
