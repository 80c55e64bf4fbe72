"""Tars with damage of every kind: indexed and read, or one line."""

import io
import tarfile

from hypothesis import given, settings
from PIL import Image

from clicv2lite.data.images import ImageError, read_image
from clicv2lite.data.sources import open_images
from clicv2lite.errors import UserError
from tests.fuzz.mutations import damage, damaged

fuzz = settings.get_profile("fuzz")


def tar_of(form):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as tar:
        for i, name in enumerate(["a.png", "folder/b.png", "n" * 80 + ".png", "text.txt"]):
            picture = io.BytesIO()
            Image.new("RGB", (8, 8), (i, 2 * i, 3 * i)).save(picture, "PNG")
            member = tarfile.TarInfo(name)
            member.size = len(picture.getvalue())
            tar.addfile(member, io.BytesIO(picture.getvalue()))
    return file.getvalue()


TARS = {form: tar_of(form) for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)}


@given(changes=damage)
@settings(fuzz)
def test_a_damaged_tar_is_read_or_one_line(tmp_path_factory, changes, refused):
    for content in TARS.values():
        file = tmp_path_factory.mktemp("tar") / "t.tar"
        file.write_bytes(damaged(content, changes))
        try:
            images = open_images([str(file)])
        except UserError as error:
            refused(error)
            continue
        for i in range(len(images)):
            try:
                read_image(images.read(i), images.names[i])
            except ImageError as error:
                refused(error)
