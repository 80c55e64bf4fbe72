"""Token self-similarity: how similar each patch is to the other patches of its image (book chapter 14).

An image whose patches repeat is simple, one whose patches differ is complex. Two readings: `likeness` by soft maxima, and
`nearest` by the patches that are most similar, which agrees better with people on the ratings that both were chosen on.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

MANY = 0.2
TEMPERATURES = (0.0, MANY / 4, MANY)  # the most similar patch, a few similar patches, many patches
CHANNELS = len(TEMPERATURES) + 2
TILE = 112  # rows of cosines at once on a CPU: a tile stays in its cache

SAME = 0.02  # cosines this far below 1 are of patches that hardly differ
FLOOR = 1e-3  # of a token's length: what is left of a token when its image's mean is taken away, and smaller, is rounding
NEAREST_CHANNELS = 2 * 4
RARITY = 2  # of these


def likeness(tokens: Tensor) -> Tensor:
    """Likeness (token self-similarity): cosines between each token and the others of its image, as soft maxima and means.

    The soft maximum t log mean exp(cosine / t) is the largest cosine at t = 0 and the mean cosine at t = infinity. In between,
    it has the form of InfoNCE's denominator with the patches of the same image as negatives (equation 2). Training with
    InfoNCE makes these cosines meaningful: patches with similar content get similar tokens.

    Args:
        tokens: (B, h, w, D), floating point.

    Returns:
        (B, h, w, CHANNELS) in -1..1: the soft maximum at each t of `TEMPERATURES`, the mean over all other patches, and the
        mean over the two to four patches beside, above and below. It is 0 where there is no other patch or no neighbour.
    """
    unit = F.normalize(tokens, dim=-1)
    return torch.cat([_all_others(unit.flatten(1, 2)).unflatten(1, unit.shape[1:3]), _neighbours(unit)], dim=-1)


def nearest(tokens: Tensor) -> Tensor:
    """Cosines between each token and the two of its image that are most similar to it, how rare it is, and its neighbours.

    All of them twice: for the tokens as they are, and without their image's mean token. What all patches of an image have in
    common hides how they differ, and the mean token is just that.

    The rarity of patch i is 1 / sum_j exp((cosine_ij - 1) / `SAME`), itself included: 1 for a patch like no other, 1 / n for
    one of n that are the same. The sum over the patches is a number of kinds of patch in the image: what Leinster and
    Cobbold (2012, "Measuring diversity: the importance of species similarity") call its diversity of order 0.

    Args:
        tokens: (B, h, w, D), float32 or float64: cosines are multiplied by 50.

    Returns:
        (B, h, w, NEAREST_CHANNELS): the largest cosine with another patch in -1..1, the second largest (the largest again,
        where there is no second), the rarity in 0..1, and the mean cosine with the two to four patches beside, above and
        below; then the same without the mean token. All are 0 where there is no other patch.
    """
    mean = tokens.mean((1, 2), keepdim=True)
    length = torch.linalg.vector_norm(tokens, dim=-1, keepdim=True).mean((1, 2), keepdim=True)
    # where all tokens of an image are the same but for rounding, the constant at the end makes their cosines 1
    apart = torch.cat([tokens - mean, (FLOOR * length).expand_as(tokens[..., :1])], dim=-1)
    return torch.cat([_most_similar(F.normalize(part, dim=-1)) for part in (tokens, apart)], dim=-1)


def _most_similar(unit: Tensor) -> Tensor:
    """Tokens of unit length (B, h, w, D) -> (B, h, w, NEAREST_CHANNELS / 2)."""
    flat = unit.flatten(1, 2)
    places = flat.shape[1]
    if places == 1:
        return unit.new_zeros(*unit.shape[:3], NEAREST_CHANNELS // 2)
    tile, scaled, found = _tile(flat), flat / SAME, []
    for start in range(0, places, tile):
        cosine = _with_others(scaled[:, start : start + tile], flat, start)  # over SAME
        similar = cosine.topk(min(2, places - 1)).values * SAME
        rarity = 1 / (1 + (cosine - 1 / SAME).exp_().sum(-1, keepdim=True))
        found.append(torch.cat([similar[..., :1], similar[..., -1:], rarity], dim=-1))
    return torch.cat([torch.cat(found, dim=1).unflatten(1, unit.shape[1:3]), _neighbours(unit)], dim=-1)


def _all_others(unit: Tensor) -> Tensor:
    """Tokens of unit length (B, G, D) -> (B, G, CHANNELS - 1)."""
    places = unit.shape[1]
    if places == 1:
        return unit.new_zeros(len(unit), 1, CHANNELS - 1)
    largest, few, many = _over_pairs(unit, _tile(unit))
    soft = [1 + t * (total / (places - 1)).log() for t, total in zip(TEMPERATURES[1:], (few, many), strict=True)]
    mean = (unit * (unit.sum(1, keepdim=True) - unit)).sum(-1) / (places - 1)
    return torch.stack([largest, *soft, mean], dim=-1)


def _over_pairs(unit: Tensor, tile: int) -> tuple[Tensor, Tensor, Tensor]:
    """The largest cosine of each token, and its sums of exp((cosine - 1) / t) for t = MANY / 4 and MANY: (B, G) each.

    The cosines of i with j and of j with i are the same. So a tile holds only the cosines with its own and later tokens, and
    is read twice: along its rows for its own tokens, along its columns for the later ones. exp(4 x) is exp(x) to the fourth.

    Args:
        unit: (B, G, D). tile: tokens a tile.
    """
    largest = unit.new_full(unit.shape[:2], float("-inf"))  # of the tokens from the next tile on, over the tiles so far
    few = many = unit.new_zeros(unit.shape[:2])
    found = []
    scaled = unit / MANY
    for start in range(0, unit.shape[1], tile):
        k = min(tile, unit.shape[1] - start)
        cosine = _with_others(scaled[:, start : start + k], unit[:, start:], 0)  # over MANY
        # subtract the largest possible cosine before the exponential: finding the actual maximum would cost one more pass
        of_many = (cosine - 1 / MANY).exp_()
        of_few = of_many.square().square()
        rows = torch.maximum(cosine.amax(-1) * MANY, largest[:, :k]), of_few.sum(-1) + few[:, :k], of_many.sum(-1) + many[:, :k]
        found.append(rows)
        later = cosine[..., k:], of_few[..., k:].sum(1), of_many[..., k:].sum(1)
        if later[0].shape[-1]:
            largest = torch.maximum(later[0].amax(1) * MANY, largest[:, k:])
        few, many = few[:, k:] + later[1], many[:, k:] + later[2]
    of_all = [torch.cat(parts, dim=1) for parts in zip(*found, strict=True)]
    return of_all[0], of_all[1], of_all[2]


def _tile(unit: Tensor) -> int:
    """Tokens (B, G, D) at once: all, unless a CPU's cache would have to hold them; an export takes no loop."""
    return TILE if unit.device.type == "cpu" and not torch.compiler.is_exporting() else unit.shape[1]


def _with_others(rows: Tensor, columns: Tensor, first: int) -> Tensor:
    """Products of tokens (B, k, D) and (B, n, D): (B, k, n), -inf for a token with itself. Row i is column `first` + i, too."""
    found = rows @ columns.mT
    itself = torch.eye(rows.shape[1], dtype=torch.bool, device=rows.device)
    found[..., first : first + rows.shape[1]].masked_fill_(itself, float("-inf"))
    return found


def _neighbours(unit: Tensor) -> Tensor:
    """Tokens of unit length (B, h, w, D) -> (B, h, w, 1)."""
    down = (unit[:, 1:] * unit[:, :-1]).sum(-1)  # (B, h - 1, w); each pair counts for both of its patches
    right = (unit[:, :, 1:] * unit[:, :, :-1]).sum(-1)
    total = F.pad(down, (0, 0, 1, 0)) + F.pad(down, (0, 0, 0, 1)) + F.pad(right, (1, 0)) + F.pad(right, (0, 1))
    one_down, one_right = torch.ones_like(down), torch.ones_like(right)
    count = F.pad(one_down, (0, 0, 1, 0)) + F.pad(one_down, (0, 0, 0, 1)) + F.pad(one_right, (1, 0)) + F.pad(one_right, (0, 1))
    return (total / count.clamp(min=1)).unsqueeze(-1)


READINGS = {"likeness": (likeness, CHANNELS), "nearest": (nearest, NEAREST_CHANNELS)}
"""Each reading by the name in ``pool_read``, and how many numbers it gives for a place."""
