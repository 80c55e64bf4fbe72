import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import clicv2lite
from clicv2lite.data.embedded import photographs
from clicv2lite.data.inputs import square
from clicv2lite.encoders.config import FrozenConfig
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.encoders.plain_vit import PlainViT
from clicv2lite.heads.icnet import IcnetHead, IcnetShape
from clicv2lite.method.encoder import EncoderConfig
from clicv2lite.models.model import Model, load_model


def floats(pixels):
    """(H, W, 3) uint8 -> (3, H, W) in 0..1."""
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1).float() / 255


def icnet():
    torch.manual_seed(0)
    config = EncoderConfig(size=32, patch=8, width=16, depth=1, heads=2)
    head = IcnetHead(IcnetShape(16, 4, 8)).eval()
    return Model(FrozenEncoder("tiny", PlainViT(config), FrozenConfig(config)), head)


@pytest.mark.parametrize(("height", "width"), [(448, 448), (600, 500), (1500, 1200)])
def test_the_module_gives_the_scores_of_the_model(height, width):
    model = clicv2lite.load()
    photo = Image.open(next(iter(photographs().values()))).convert("RGB")
    pixels = [np.asarray(photo.resize((width, height))), np.random.default_rng(0).integers(0, 256, (height, width, 3), "uint8")]
    got = model.as_module()(torch.stack([floats(one) for one in pixels])).detach().numpy()
    np.testing.assert_allclose(got, model.score(pixels), atol=1e-4)


def test_the_module_of_icnets_head_gives_its_scores():
    model, images = icnet(), torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(model.as_module()(images).detach().numpy(), model.score(images), atol=1e-5)


@pytest.mark.parametrize("make", [icnet, None])
def test_gradients_reach_the_images_and_no_weight(models, make):
    model = make() if make else load_model(models[0], "cpu")
    module = model.as_module()
    assert module.training is False
    images = torch.rand(2, 3, 48, 40, generator=torch.Generator().manual_seed(0)).requires_grad_()
    first = module(images)
    first.sum().backward()
    assert images.grad.shape == images.shape and images.grad.isfinite().all() and (images.grad != 0).any()
    everything = [*module.parameters(), *(p for net in model.encoder.nets for p in net.parameters())]
    assert len(everything) > 10 and all(p.grad is None and not p.requires_grad for p in everything)
    with torch.no_grad():  # the gradient says what raises the score
        step = 4 / 255 * images.grad / images.grad.abs().amax()
        assert (module((images + step).clamp(0, 1)) > first).all()


@pytest.mark.parametrize("make", [icnet, None])
def test_the_gradient_is_that_of_the_score_taken_back_through_the_resize(models, make):
    module = (make() if make else load_model(models[0], "cpu")).as_module()
    images = torch.rand(2, 3, 48, 40, generator=torch.Generator().manual_seed(0)).requires_grad_()
    module(images).sum().backward()
    seen = torch.stack([square(image, 32) for image in images]).float().requires_grad_()
    module.scorer(seen).sum().backward()
    again = images.detach().clone().requires_grad_()
    F.interpolate(again * 255, (32, 32), mode="bilinear", antialias=True).backward(seen.grad)
    torch.testing.assert_close(images.grad, again.grad, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("make", [icnet, None])
def test_a_module_around_it_changes_neither_its_scores_nor_the_model(models, make):
    model = make() if make else load_model(models[0], "cpu")
    images = torch.rand(2, 3, 48, 40, generator=torch.Generator().manual_seed(0))
    want = model.score(images)
    around = torch.nn.Sequential(model.as_module())
    for change in (around.train, around.half, around.double):
        np.testing.assert_allclose(change()(images), want, atol=1e-6)
    around[0].load_state_dict({name: torch.zeros_like(value) for name, value in around[0].state_dict().items()})
    assert (model.score(images) == want).all(), "the model has its own weights and counters"


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_no_images_and_images_of_any_float_have_scores(models, kind):
    module = load_model(models[0], "cpu").as_module()
    images = torch.rand(2, 3, 48, 40, generator=torch.Generator().manual_seed(0)).to(kind).requires_grad_()
    scores = module(images)
    scores.sum().backward()
    assert scores.dtype == torch.float32 and images.grad.dtype == kind
    assert torch.equal(scores, module(images.detach().float()))
    assert module(images[:0]).shape == (0,)


@pytest.mark.parametrize("images", [torch.zeros(3, 8, 8), torch.zeros(1, 1, 8, 8), torch.zeros(1, 3, 8, 8, dtype=torch.uint8)])
def test_other_tensors_are_refused(models, images):
    with pytest.raises(ValueError, match=r"floats in 0\.\.1 of shape \(N, 3, H, W\)"):
        load_model(models[0], "cpu").as_module()(images)


class Photos(Dataset):
    def __init__(self, paths, transform):
        self.paths, self.transform = paths, transform

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        return self.transform(Image.open(self.paths[i]))


def test_the_transform_of_a_loader_makes_what_the_model_scores(models, photos):
    model, paths = load_model(models[0], "cpu"), sorted(photos.glob("*.png"))
    transform = functools.partial(square, size=model.encoder.size)
    loader = DataLoader(Photos(paths, transform), batch_size=4, num_workers=1)
    got = np.concatenate([model.ratings(batch) for batch in loader])
    np.testing.assert_allclose(got, model.score(paths), rtol=0, atol=1e-6)
