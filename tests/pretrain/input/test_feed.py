import dataclasses
import io
import shutil
import signal
import subprocess
import sys
import tarfile
import textwrap
import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clicv2lite.data.decode import crop, crop_by_pillow
from clicv2lite.data.sources import ImageSet, open_images
from clicv2lite.errors import UserError
from clicv2lite.learners import METHODS
from clicv2lite.method.views import CROP_DRAWS, crop_boxes, crop_shares, uniform
from clicv2lite.pretrain.input import feed as feed_module
from clicv2lite.pretrain.input.feed import Feed, crop_box
from clicv2lite.pretrain.input.order import samples
from clicv2lite.pretrain.input.store import ImageStore
from clicv2lite.recipes.library import get_recipe
from tests.pretrain.soak_input import make_tars, soak


def recipe(store: int = 0, workers: int = 1, **changes):
    settings = {"size": 32, "patch": 8, "batch": 12, "passes": 60, "store": store, "seed": 3} | changes
    return dataclasses.replace(get_recipe("ci", [f"{key}={value}" for key, value in settings.items()]), workers=workers)


@pytest.fixture(scope="module")
def images(photos, tmp_path_factory):
    """Ten PNGs in a folder, and fourteen JPEGs of other sizes in a tar."""
    path = tmp_path_factory.mktemp("feed") / "x.tar"
    rng = np.random.default_rng(1)
    with tarfile.open(path, "w") as tar:
        for i in range(14):
            buffer = io.BytesIO()
            noise = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
            noise.resize((90 - i, 60 + 2 * i), Image.Resampling.BICUBIC).save(buffer, "JPEG")
            info = tarfile.TarInfo(f"{i}.jpg")
            info.size = buffer.tell()
            tar.addfile(info, io.BytesIO(buffer.getvalue()))
    return open_images([str(photos), str(path)])


def all_of(images, recipe, **options):
    """Everything that a feed gives: (steps, b, 3, H, W), and epoch and index (steps, b)."""
    with Feed(images, recipe, progress=False, **options) as feed:
        batches = list(feed)
    assert [b.step for b in batches] == list(range(options.get("start", 0), recipe.steps))
    return tuple(torch.stack([torch.as_tensor(b[k]) for b in batches]) for k in (3, 1, 2))


def same(got, want) -> None:
    assert all(a.equal(b) for a, b in zip(got, want, strict=True))


@pytest.fixture(scope="module", params=[0, 40], ids=["crops", "squares"])
def whole(images, request):
    return request.param, all_of(images, recipe(request.param))


@pytest.mark.parametrize("workers", [2, 3])
def test_workers_change_nothing(images, whole, workers, monkeypatch):
    monkeypatch.setattr(feed_module, "CHUNK", 5)  # 12 images in unequal parts
    same(all_of(images, recipe(whole[0], workers)), whole[1])


@pytest.mark.parametrize("ranks", [2, 4])
def test_the_ranks_have_the_parts_of_the_global_batch_in_order(images, whole, ranks):
    parts = [all_of(images, recipe(whole[0], 2), rank=rank, ranks=ranks) for rank in range(ranks)]
    same([torch.cat(part, 1) for part in zip(*parts, strict=True)], whole[1])


@pytest.mark.parametrize("start", [1, 3, 5])
def test_a_feed_starts_at_any_step(images, whole, start):
    if start == 5:
        with Feed(images, recipe(whole[0]), start=5) as feed:
            assert list(feed) == []
    else:
        same(all_of(images, recipe(whole[0]), start=start), [part[start:] for part in whole[1]])


def test_squares_are_those_of_the_store_in_the_order_of_the_samples(images):
    got, epoch, index = all_of(images, recipe(40))
    store = ImageStore(images, 40, 1, progress=False)
    want_epoch, want_index = samples(3, len(images), 0, 60)
    np.testing.assert_array_equal(epoch.flatten(), want_epoch)
    np.testing.assert_array_equal(index.flatten(), want_index)
    assert got.flatten(0, 1).equal(torch.stack([store.image(i) for i in want_index]))


def test_squares_that_do_not_fit_in_memory_are_the_same(images, monkeypatch):
    held = all_of(images, recipe(40))
    monkeypatch.setattr(feed_module, "MEMORY", 0)
    same(all_of(images, recipe(40, 2)), held)


def test_crops_are_pillows_of_the_boxes_that_the_noise_gives(images):
    got, epoch, index = all_of(images, recipe())
    for image, e, i in zip(got.flatten(0, 1), epoch.flatten(), index.flatten(), strict=True):
        noise = uniform(3, np.array([e]), np.array([i]), CROP_DRAWS)

        def box(height, width, noise=noise):
            return crop_boxes(noise[:, :4], height, width, 0.5)[0].tolist()

        want = crop_by_pillow(images.read(int(i)), box=box, size=32)
        assert (image.int() - want.int()).abs().max() <= 2
    assert len({int(e) for e in epoch.flatten()}) == 3  # the same image is cut elsewhere in each epoch


@pytest.mark.parametrize("method", ["moco", "clic", "moco_published", "clic_published"])
def test_methods_of_two_crops_get_both_cut_from_the_file_as_clicv2_gets_its_one(images, method):
    two = get_recipe("ci", [f"method={method}", "store=0", "seed=3", "passes=640", "workers=1", "batch=16"])
    with Feed(images, two, progress=False) as feed:
        batch = next(iter(feed))
    assert batch.images.shape == (16, 2, 3, 32, 32)
    noise = uniform(3, batch.epoch, batch.index, METHODS[method].draws_per_image(two.views))
    for which, begin in enumerate(METHODS[method].crop_draws):
        for j, i in enumerate(batch.index.tolist()):

            def box(height, width, part=noise[j : j + 1, begin : begin + 4]):
                return crop_boxes(part, height, width, two.crop_min)[0].tolist()

            assert batch.images[j, which].equal(crop(images.read(i), box=box, size=32))
    views = METHODS[method].make_views(batch.images, noise, two.views)
    assert views.query.shape == views.key.shape == (16, 3, 32, 32) and not views.query.equal(views.key)


@given(st.integers(0, 2**32), st.integers(1, 4000), st.integers(1, 4000), st.floats(0.01, 1))
def test_a_box_is_that_of_crop_boxes(seed, height, width, crop_min):
    noise = torch.rand(20, 4, generator=torch.Generator().manual_seed(seed))
    noise[0] = 1 - 2**-24
    noise[1] = 0
    shares = torch.stack([*crop_shares(noise, crop_min), noise[:, 2], noise[:, 3]], 1).numpy()
    want = crop_boxes(noise, height, width, crop_min).tolist()
    assert [list(crop_box(row, height, width)) for row in shares] == want


@pytest.mark.parametrize("store", [0, 40])
def test_an_image_that_cannot_be_decoded_is_replaced_by_the_next_and_listed(photos, tmp_path, store):
    shutil.copytree(photos, tmp_path / "set")
    whole = open_images([str(tmp_path / "set")])
    good = all_of(whole, recipe(store, batch=10, passes=10))
    (tmp_path / "set/4.png").write_bytes(b"\xff\xd8 no image")
    with Feed(whole, recipe(store, 2, batch=10, passes=10), progress=False) as feed:
        (batch,) = feed
    assert list(feed.bad) == [str(tmp_path / "set/4.png")] and "\n" not in feed.bad[str(tmp_path / "set/4.png")]
    for image, before, i in zip(batch.images, good[0][0], batch.index, strict=True):
        assert image.equal(before) == (i != 4)
    if store:
        place = {int(i): image for image, i in zip(batch.images, batch.index, strict=True)}
        assert place[4].equal(place[5])
    assert batch.names[4] == str(tmp_path / "set/4.png")


class Broken(ImageSet):
    """Fails for one image in a way that nobody foresaw."""

    def read(self, i: int) -> bytes:
        if i == 7:
            raise ZeroDivisionError("image 7")
        return super().read(i)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_workers_exception_comes_out_where_the_batches_are_taken(images, workers):
    before = set(threading.enumerate())
    with pytest.raises(ZeroDivisionError, match="image 7"), Feed(Broken(images.parts), recipe(0, workers)) as feed:
        list(feed)
    assert set(threading.enumerate()) <= before


def test_without_any_image_there_is_one_line(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no image")
    with (
        pytest.raises(UserError, match=r"^none of the 1 images could be decoded; the first: .*a\.jpg"),
        Feed(open_images([str(tmp_path)]), recipe()) as feed,
    ):
        next(iter(feed))


def test_a_closed_feed_leaves_no_thread_and_drops_what_it_had_read_ahead(images):
    before = set(threading.enumerate())
    with Feed(images, recipe(0, 3)) as feed:
        next(iter(feed))
        assert set(threading.enumerate()) - before
    assert set(threading.enumerate()) <= before


def test_so_many_batches_are_read_while_the_consumer_works_and_no_more(images, monkeypatch):
    reads, read = [], ImageSet.read
    monkeypatch.setattr(ImageSet, "read", lambda self, i: (reads.append(i), read(self, i))[1])
    wanted, deadline = 12 * (1 + feed_module.AHEAD), time.monotonic() + 60
    with Feed(images, recipe(0, 2, passes=12_000)) as feed:
        next(iter(feed))
        while len(reads) < wanted and time.monotonic() < deadline:
            time.sleep(0.01)
        assert feed._threads._tasks.empty()
    assert len(reads) == wanted


def test_the_ranks_of_a_machine_share_its_cores_and_memory(images, monkeypatch):
    monkeypatch.setattr(feed_module, "cores", lambda: 12)
    monkeypatch.setattr(feed_module, "MEMORY", 2 * len(images) * 3 * 40 * 40)
    for here, threads, held in ((1, 12, True), (2, 6, True), (3, 4, False), (24, 1, False)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(here))
        with Feed(images, recipe(40, -1), progress=False) as feed:
            assert feed._threads.number == threads and (feed._store.cache is not None) == held


def test_ctrl_c_ends_the_process_at_once(photos):
    script = f"""
        import signal, threading
        from clicv2lite.data.sources import open_images
        from clicv2lite.pretrain.input.feed import Feed
        from clicv2lite.recipes.library import get_recipe
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background is born deaf to it
        recipe = get_recipe("ci", ["store=0", "workers=3", "passes=10_000_000"])
        try:
            with Feed(open_images([{str(photos)!r}]), recipe) as feed:
                for batch in feed:
                    print(batch.step, flush=True)
        except KeyboardInterrupt:
            print("threads", threading.active_count(), flush=True)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "0\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=120)[0].splitlines()[-1] == "threads 1" and process.returncode == 0


def test_memory_stays_flat_over_two_thousand_images(tmp_path, monkeypatch):
    monkeypatch.setenv("CLICV2LITE_CACHE", str(tmp_path / "cache"))
    result = soak(make_tars(tmp_path / "tars", 2000, 10), batch=20, workers=2)
    assert result["images"] == 2000 and result["bad"] == 0 and result["growth_mb"] < 12
    assert len(list((tmp_path / "cache/tars").iterdir())) == 10


def test_the_recipe_of_a_full_run_feeds_crops():
    assert dataclasses.asdict(get_recipe("vit-b32"))["store"] == 0
