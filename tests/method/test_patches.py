import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clicv2lite.method.patches import DIRECTIONS, grid_size, offsets, patchify, shift, unpatchify

DTYPES = (torch.uint8, torch.bool, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64)


def some_values(shape, dtype, seed):
    """Integers that every dtype holds exactly, none of them 0 (so that the zeros a shift brings in are seen)."""
    values = torch.randint(1, 200, shape, generator=torch.Generator().manual_seed(seed))
    return values.to(dtype)


@st.composite
def images(draw):
    """An image batch of any grid, patch size and dtype, with its patch size and grid."""
    p, h, w = draw(st.integers(1, 6)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 4)), h * p, w * p)
    return some_values(shape, draw(st.sampled_from(DTYPES)), draw(st.integers(0, 99))), p, (h, w)


@st.composite
def shifted_patches(draw):
    """Patches with any leading axes, and offsets up to twice the patch."""
    leading = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
    c, p = draw(st.integers(1, 3)), draw(st.integers(1, 6))
    patches = some_values((*leading, c, p, p), draw(st.sampled_from(DTYPES)), draw(st.integers(0, 99)))
    count = 2 * math.prod(leading)
    moves = draw(st.lists(st.integers(-2 * p, 2 * p), min_size=count, max_size=count))
    return patches, torch.tensor(moves).reshape(*leading, 2)


def shifted_pixel_by_pixel(patch, dy, dx):
    out, p = torch.zeros_like(patch), patch.shape[-1]
    for y, x in itertools.product(range(p), range(p)):
        if 0 <= y - dy < p and 0 <= x - dx < p:
            out[:, y, x] = patch[:, y - dy, x - dx]
    return out


@given(images())
def test_patchify_cuts_slices_row_by_row(case):
    image, p, (h, w) = case
    got = patchify(image, p)
    assert got.shape == (len(image), h * w, image.shape[1], p, p) and got.dtype == image.dtype and got.is_contiguous()
    for g, (row, column) in enumerate(itertools.product(range(h), range(w))):
        assert got[:, g].equal(image[:, :, row * p : (row + 1) * p, column * p : (column + 1) * p])


@given(images())
def test_unpatchify_is_the_inverse(case):
    image, p, grid = case
    assert unpatchify(patchify(image, p), grid).equal(image)
    assert grid_size(*image.shape[2:], p) == grid


def test_patchify_reads_images_that_are_not_contiguous():
    image = some_values((2, 6, 4, 3), torch.float32, 0).permute(0, 3, 1, 2)  # channels last, as decoders give them
    assert patchify(image, 2).equal(patchify(image.contiguous(), 2))


@pytest.mark.parametrize("height, width, patch", [(8, 9, 4), (9, 8, 4), (8, 8, 0), (8, 8, -4), (0, 8, 4), (8, 0, 4), (4, 4, 8)])
def test_a_patch_size_that_does_not_tile_is_refused(height, width, patch):
    with pytest.raises(ValueError, match="do not tile"):
        patchify(torch.zeros(1, 3, height, width), patch)


def test_a_grid_of_another_number_of_patches_is_refused():
    with pytest.raises(ValueError, match="2 x 2 does not hold 6 patches"):
        unpatchify(torch.zeros(1, 6, 3, 4, 4), (2, 2))


def test_the_eight_directions_go_clockwise_from_up():
    assert sorted(DIRECTIONS) == sorted(set(itertools.product((-1, 0, 1), repeat=2)) - {(0, 0)})
    clockwise_from_up = [math.degrees(math.atan2(dx, -dy)) % 360 for dy, dx in DIRECTIONS]
    assert clockwise_from_up == pytest.approx(range(0, 360, 45))


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 50)), min_size=1, max_size=6))
def test_offsets_are_direction_times_distance_on_both_axes(steps):
    direction, distance = torch.tensor(steps).unbind(1)
    want = [[DIRECTIONS[d][0] * s, DIRECTIONS[d][1] * s] for d, s in steps]
    assert offsets(direction, distance).tolist() == want
    assert offsets(direction[None, :, None], distance[None, :, None]).tolist() == [[[o] for o in want]]


@given(shifted_patches())
def test_shift_moves_every_pixel_inside_its_cell(case):
    patches, offset = case
    before = patches.clone()
    got = shift(patches, offset)
    assert got.dtype == patches.dtype and patches.equal(before)
    flat, moves = patches.reshape(-1, *patches.shape[-3:]), offset.reshape(-1, 2).tolist()
    want = torch.stack([shifted_pixel_by_pixel(patch, *move) for patch, move in zip(flat, moves, strict=True)])
    assert got.equal(want.reshape(patches.shape))


@given(st.integers(1, 8), st.integers(0, 7), st.integers(0, 20))
def test_a_shift_of_the_patch_or_more_leaves_only_zeros(p, direction, beyond):
    patch = torch.ones(1, 3, p, p)
    assert not shift(patch, offsets(torch.tensor([direction]), torch.tensor([p + beyond]))).any()
    assert shift(patch, torch.zeros(1, 2, dtype=torch.long)).equal(patch)


def test_positive_offsets_move_down_and_right():
    patch = torch.tensor([[1, 2], [3, 4]])[None]
    assert shift(patch, torch.tensor([1, 0])).tolist() == [[[0, 0], [1, 2]]]
    assert shift(patch, torch.tensor([0, 1])).tolist() == [[[0, 1], [0, 3]]]
    assert shift(patch, torch.tensor([-1, -1])).tolist() == [[[4, 0], [0, 0]]]


def test_no_patches_shift_to_no_patches():
    assert shift(torch.zeros(2, 0, 3, 4, 4), torch.zeros(2, 0, 2, dtype=torch.long)).shape == (2, 0, 3, 4, 4)


@pytest.mark.parametrize("shape", [(2,), (3, 2), (2, 3), (2, 1, 2)])
def test_shift_wants_one_offset_for_each_patch(shape):
    with pytest.raises(ValueError, match="offsets of shape"):
        shift(torch.zeros(2, 3, 4, 4), torch.zeros(shape, dtype=torch.long))
