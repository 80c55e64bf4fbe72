import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from clicv2lite.method.decoder import Decoder, DecoderConfig
from clicv2lite.method.masking import random_mask

CONFIG = DecoderConfig(width=8, depth=2, heads=2)


def decoder_of(grid, out=1, config=CONFIG):
    """A float64 decoder whose every weight is random."""
    torch.manual_seed(0)
    decoder = Decoder(12, grid, config, out).double()
    for p in decoder.parameters():
        p.data.add_(0.3 * torch.randn_like(p))
    return decoder


@st.composite
def cases(draw):
    """A grid, a decoder for it, and tokens of the visible patches."""
    grid = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    b, out, seed = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(0, 99))
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(b, grid[0] * grid[1], generator=generator)
    visible, masked = random_mask(noise, draw(st.floats(0, 1, exclude_max=True)))
    tokens = torch.randn(*visible.shape, 12, generator=generator, dtype=torch.float64)
    return decoder_of(grid, out), tokens, visible, masked


@given(cases())
@torch.no_grad()
def test_the_decoder_reads_tokens_and_mask_tokens_at_their_places(case):
    decoder, tokens, visible, masked = case
    got = decoder(tokens, visible, masked)
    assert got.dtype == torch.float32 and got.shape == (*masked.shape, decoder.predict.out_features)
    for b in range(len(tokens)):
        line = [decoder.mask_token] * decoder.positions.shape[1]
        for token, place in zip(tokens[b], visible[b].tolist(), strict=True):
            line[place] = decoder.embed(token)
        full = decoder.blocks((torch.stack(line) + decoder.positions[0])[None])
        want = decoder.predict(decoder.norm(full))[0, masked[b]]
        np.testing.assert_allclose(got[b], want, atol=1e-6)


@given(cases())
@torch.no_grad()
def test_another_order_of_places_is_the_same_picture(case):
    decoder, tokens, visible, masked = case
    got = decoder(tokens, visible, masked)
    np.testing.assert_array_equal(decoder(tokens, visible, masked.flip(1)), got.flip(1))
    np.testing.assert_allclose(decoder(tokens.flip(1), visible.flip(1), masked), got, atol=1e-6)


@torch.no_grad()
def test_predictions_differ_by_position_alone():
    decoder = decoder_of((3, 3))
    tokens, visible, masked = torch.randn(2, 4, 12).double(), torch.arange(4).repeat(2, 1), torch.arange(4, 9).repeat(2, 1)
    assert decoder(tokens, visible, masked).std(1).min() > 1e-3
    decoder.positions.zero_()
    np.testing.assert_allclose(decoder(tokens, visible, masked).std(1), 0, atol=1e-6)


@torch.no_grad()
def test_predictions_depend_on_the_mask_token_and_on_the_visible_tokens_of_the_same_image():
    decoder = decoder_of((3, 3))
    tokens, visible, masked = torch.randn(2, 4, 12).double(), torch.arange(4).repeat(2, 1), torch.arange(4, 9).repeat(2, 1)
    before = decoder(tokens, visible, masked)
    changed = tokens.clone()
    changed[0] += torch.randn(12)
    after = decoder(changed, visible, masked)
    assert (after[0] - before[0]).abs().min() > 1e-6 and after[1].equal(before[1])
    decoder.mask_token.add_(torch.randn(8))
    assert (decoder(tokens, visible, masked) - before).abs().min() > 1e-6


def test_every_weight_learns_and_positions_are_neither_trained_nor_stored():
    decoder = Decoder(12, (2, 3), CONFIG)
    decoder(torch.randn(2, 2, 12), torch.tensor([[0, 5]] * 2), torch.tensor([[1, 2, 3, 4]] * 2)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in decoder.parameters())
    assert "positions" not in decoder.state_dict() and decoder.positions.shape == (1, 6, 8)


def test_predictions_are_float32_under_autocast():
    decoder = Decoder(12, (2, 2), CONFIG)
    with torch.autocast("cpu", torch.bfloat16):
        out = decoder(torch.randn(1, 2, 12), torch.tensor([[0, 3]]), torch.tensor([[1, 2]]))
    assert out.dtype == torch.float32
