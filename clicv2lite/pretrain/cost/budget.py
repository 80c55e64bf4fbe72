"""The cost of a pretraining, computed from its recipe: weights, operations, memory, hours (book chapter 10).

Operations are counted as in ``torch.utils.flop_counter``: two for each multiply-add of a matrix product, none for elementwise
operations. Making the views is not counted. A network other than the ViT is counted by running it
(:mod:`clicv2lite.pretrain.cost.network`). Bytes are counted for the way this package trains: fp32 weights under autocast,
fused attention, gradients of data-parallel ranks kept in their buckets.
"""

from typing import Literal, NamedTuple

from clicv2lite.learners import METHODS
from clicv2lite.learners.base import Price, Step
from clicv2lite.method.backbone import VIT
from clicv2lite.method.encoder import feature_width
from clicv2lite.method.masking import visible_count
from clicv2lite.method.stem import embedding_cost
from clicv2lite.pretrain.cost.hardware import Machine
from clicv2lite.pretrain.cost.network import counted
from clicv2lite.recipes.recipe import Recipe

TRAINED = ("query encoder", "query head", "decoder")


class Tokens(NamedTuple):
    """Numbers of patches and tokens of one image."""

    all: int  # G
    visible: int  # G' = G - M, the patches that are compared
    masked: int  # M
    query: int  # tokens in the query encoder: the visible patches and, if there is one, the class token
    key: int  # tokens in the key encoder, which may see all patches


class Flops(NamedTuple):
    """Operations for one image in one step."""

    forward: int
    backward: int


def tokens(recipe: Recipe) -> Tokens:
    """Numbers of patches and tokens per image. With whole crops (MoCo, CLIC) both encoders see all patches."""
    g = (recipe.size // recipe.patch) ** 2
    v, extra = visible_count(g, recipe.mask_ratio), int(recipe.class_token)
    return Tokens(g, v, g - v, v + extra, (v if recipe.key_patches == "visible" else g) + extra)


def compared(recipe: Recipe) -> int:
    """How many features per image the loss compares: one per visible patch, or one per image."""
    return METHODS[recipe.method].compared(recipe.model, tokens(recipe).visible)


def decodes(recipe: Recipe) -> bool:
    """Whether there is a decoder, and masked patches for it to predict."""
    return _has_decoder(recipe) and tokens(recipe).masked > 0


def price(recipe: Recipe, ranks: int = 1, images: int | None = None, dense: bool = False) -> Price:
    """What the loss costs in a step.

    Args:
        ranks: number of ranks; they share the global batch equally.
        images: images per forward pass on one rank; None for the rank's whole share.
        dense: compute all logits of this rank's queries and their gradient at once, even if the method has another way.
    """
    share = -(-recipe.batch // ranks)
    step = Step(recipe.batch, share, share if images is None else images, compared(recipe), recipe.project, dense)
    return METHODS[recipe.method].price(step, recipe.learner)


def micro_batch(recipe: Recipe, ranks: int) -> int:
    """Images of a forward pass on one rank: ``micro``, but never more than its share of the batch."""
    share = -(-recipe.batch // ranks)
    return min(recipe.micro or share, share)


def pairs(recipe: Recipe) -> int:
    """Number of logits in one step: N^2 for the N = B G' features of the global batch (equation 3); B K with a queue of K."""
    return price(recipe).pairs


def parameters(recipe: Recipe) -> dict[str, int]:
    """Number of weights of each part. The parts in ``TRAINED`` get gradients; keys follow them, and positions stay fixed."""
    d, g = feature_width(recipe.encoder), tokens(recipe).all
    w, out = recipe.decoder.width, recipe.model.target_size
    embedding = embedding_cost(recipe.patch_embed, recipe.patch, d).weights
    start = d if recipe.class_token else 0
    encoder, positions = embedding + start + recipe.depth * _block_weights(d) + 2 * d, 2 * (g * d + start)
    if recipe.backbone != VIT:
        encoder, positions = counted(recipe.backbone, recipe.size).weights, 0
    head = d * d + d + d * recipe.project + recipe.project
    decoder = (d * w + w) + w + recipe.decoder.depth * _block_weights(w) + 2 * w + (w * out + out)
    return {
        "query encoder": encoder,
        "query head": head,
        "decoder": decoder if _has_decoder(recipe) else 0,
        "key encoder": encoder,
        "key head": head,
        "positions": positions,
    }


def image_flops(recipe: Recipe) -> dict[str, Flops]:
    """Operations for one image in one step, by part.

    A backward pass costs twice the forward pass: once for the inputs and once for the weights. The pixels need no gradient. The
    method states the cost of its loss (:class:`clicv2lite.learners.base.Price`).
    """
    t, d, w = tokens(recipe), feature_width(recipe.encoder), recipe.decoder.width
    embedding = embedding_cost(recipe.patch_embed, recipe.patch, d)
    query = recipe.depth * _block_flops(t.query, d)
    key_patches = t.key - int(recipe.class_token)
    decode = 2 * t.visible * d * w + recipe.decoder.depth * _block_flops(t.all, w) + 2 * t.masked * w * recipe.model.target_size
    decode = decode if decodes(recipe) else 0
    n = compared(recipe)
    head = 2 * d * (d + recipe.project)  # per token
    loss = price(recipe)
    key = key_patches * embedding.forward + recipe.depth * _block_flops(t.key, d)
    encoder = Flops(t.visible * embedding.forward + query, t.visible * embedding.backward + 2 * query)
    if recipe.backbone != VIT:
        net = counted(recipe.backbone, recipe.size)
        encoder, key = Flops(net.forward, net.backward), net.forward
    return {
        "query encoder": encoder,
        "query head": Flops(n * head, 2 * n * head),
        "decoder": Flops(decode, 2 * decode),
        "key encoder": Flops(key, 0),
        "key head": Flops(n * head, 0),
        "InfoNCE": Flops(loss.forward, loss.backward),
    }


def memory(
    recipe: Recipe, gpus: int, images: int, checkpointing: bool = False, loss: Literal["tiled", "dense"] = "tiled"
) -> dict[str, int]:
    """Bytes on each GPU by part, at the end of a forward pass, where memory use is highest.

    Not counted: memory of the driver, gaps of the allocator, and temporary memory of single operations.

    Args:
        gpus: number of data-parallel ranks, which share the global batch.
        images: images per micro-batch on one GPU.
        checkpointing: keep only the input of each block, and compute the rest again in the backward pass.
        loss: tiled, as in :func:`clicv2lite.method.infonce.infonce`, or dense: all logits of this rank with their gradient.
    """
    t, count = tokens(recipe), parameters(recipe)
    trained = sum(count[part] for part in TRAINED)
    share = -(-recipe.batch // gpus)
    held = price(recipe, gpus, images, dense=loss == "dense")
    low = recipe.precision != "fp32"
    return {
        "weights": 4 * (trained + count["positions"] // 2),
        "gradients": 4 * trained,
        **({"SGD": 4 * trained * (recipe.beta1 > 0)} if recipe.optimizer == "sgd" else {"AdamW": 8 * trained}),
        "key copy": 4 * (count["key encoder"] + count["key head"] + count["positions"] // 2),
        "bf16 weights": 2 * trained if low else 0,  # autocast's, for one forward and backward pass
        "views": 4 * 3 * recipe.patch**2 * share * (2 * t.visible if recipe.key_patches == "visible" else t.visible + t.all),
        "activations": images * _activations(recipe, checkpointing),
        "features": 4 * recipe.project * held.features,  # keys of all ranks, this rank's queries and their gradient
        "logits": held.logits,
    }


def largest_micro_batch(recipe: Recipe, machine: Machine, checkpointing: bool = False, share: float = 0.9) -> int:
    """The largest micro-batch that fits into `share` of a GPU's memory, at most the GPU's part of the batch; 0 if none fits."""

    def needed(images: int) -> int:
        return sum(memory(recipe, machine.gpus, images, checkpointing).values())

    each = needed(1) - needed(0)  # memory grows linearly with the images
    free = share * machine.gpu.memory - needed(0)
    return max(0, min(-(-recipe.batch // machine.gpus), int(free // each)))


def hours(recipe: Recipe, machine: Machine, utilisation: float, checkpointing: bool = False) -> float:
    """Hours of a whole run, if the GPUs reach this share of their peak and never wait for anything.

    Args:
        utilisation: in (0, 1]: model FLOPs per second over the peak (MFU; Chowdhery et al., 2022), the same for bf16 and fp32.
        checkpointing: query encoder and decoder run the forward pass twice.

    Raises:
        ValueError: if the utilisation is outside (0, 1].
    """
    if not 0 < utilisation <= 1:
        raise ValueError(f"utilisation {utilisation}: must be above 0 and at most 1")
    parts = image_flops(recipe)
    loss = sum(parts.pop("InfoNCE"))
    again = sum(parts[part].forward for part in ("query encoder", "decoder")) if checkpointing else 0
    products = sum(sum(part) for part in parts.values()) + again
    peak = machine.gpu.fp32 if recipe.precision == "fp32" else machine.gpu.bf16
    seconds = recipe.steps * recipe.batch * (products / peak + loss / machine.gpu.fp32) / (machine.gpus * utilisation)
    return seconds / 3600


def cost(hours: float, machine: Machine, price: float) -> float:
    """Cost of the hours, for a price per GPU and hour, in the currency of the price."""
    return hours * machine.gpus * price


def energy(hours: float, machine: Machine) -> float:
    """Kilowatt hours of the GPUs at their full board power; the rest of the machine and its cooling come on top."""
    return hours * machine.gpus * machine.gpu.watts / 1000


def _has_decoder(recipe: Recipe) -> bool:
    return METHODS[recipe.method].decodes and recipe.model.target_size > 0


def _block_weights(width: int) -> int:
    """A Transformer block: 12 D^2 in matrices, 9 D in their biases, 4 D in two norms."""
    return 12 * width**2 + 13 * width


def _block_flops(length: int, width: int) -> int:
    """Forward pass of a block over `length` tokens: 12 D^2 multiply-adds per token, 2 D per pair of tokens."""
    return 24 * length * width**2 + 4 * length**2 * width


def _activations(recipe: Recipe, checkpointing: bool) -> int:
    """Bytes that one image keeps in memory for the backward pass."""
    t, d, w, wide = tokens(recipe), feature_width(recipe.encoder), recipe.decoder.width, 2 if recipe.precision != "fp32" else 4
    if recipe.backbone != VIT:
        kept = counted(recipe.backbone, recipe.size, checkpointing).kept
        return kept * wide // 4 + compared(recipe) * (wide * 3 * d + 4 * recipe.project)

    def block(width: int, heads: int) -> int:
        # per token: fp32 inputs and statistics of two norms; two normed tokens, q, k, v, attended, hidden twice (4 D each)
        return (2 * 4 + 14 * wide) * width + 4 * 4 + 4 * heads

    stacks = [(t.query, recipe.depth, d, recipe.heads)]
    if decodes(recipe):
        stacks.append((t.all, recipe.decoder.depth, w, recipe.decoder.heads))
    if checkpointing:  # the inputs of all blocks, and the inside of the one block that is computed again
        kept = sum(n * depth * 4 * width for n, depth, width, _ in stacks)
        blocks = kept + max(n * block(width, heads) for n, _, width, heads in stacks)
    else:
        blocks = sum(n * depth * block(width, heads) for n, depth, width, heads in stacks)
    n = compared(recipe)
    stem = embedding_cost(recipe.patch_embed, recipe.patch, d).values
    ends = t.query * (4 * d + 8) + t.visible * wide * (3 * recipe.patch**2 + stem) + n * (wide * 3 * d + 4 * recipe.project)
    if decodes(recipe):
        ends += t.visible * wide * d + t.all * (4 * w + 8) + t.masked * wide * w
    return blocks + ends
