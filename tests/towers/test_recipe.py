"""Image files as the input of a network."""

import os

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional

from lookwhy.errors import LookwhyError
from lookwhy.towers.recipe import ImageRecipe, read_rgb

CAFFE, TORCHVISION = ImageRecipe("caffe", 4, 4), ImageRecipe("torchvision", 4, 4)


def saved(tmp_path, picture, **settings):
    path = tmp_path / "image.png"
    picture.save(path, **settings)
    return path


def test_caffe_is_blue_green_red_minus_the_mean_pixel_and_torchvision_equals_its_own_transform(tmp_path):
    pixels = CAFFE.load(saved(tmp_path, Image.new("RGB", (4, 4), (255, 100, 0))))
    assert (pixels.shape, pixels.dtype) == ((3, 4, 4), torch.float32)
    assert pixels[:, 2, 1].tolist() == pytest.approx([0 - 103.939, 100 - 116.779, 255 - 123.68], abs=1e-4)
    noise = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    expected = functional.normalize(functional.to_tensor(noise), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.testing.assert_close(TORCHVISION.load(saved(tmp_path, Image.fromarray(noise))), expected)


@pytest.mark.parametrize("recipe", [CAFFE, TORCHVISION])
def test_a_batch_of_bytes_becomes_the_same_numbers_as_its_images_one_by_one(recipe, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 3), np.uint8)
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, pixels in zip(paths, noise, strict=True):
        Image.fromarray(pixels).save(path)
    batch = recipe.from_rgb(torch.stack([recipe.resized(read_rgb(path)) for path in paths]))
    assert batch.is_contiguous()
    assert torch.equal(batch, torch.stack([recipe.load(path) for path in paths]))


def test_an_image_is_resized_to_both_sides_from_any_shape(tmp_path):
    # Left half black, right half white, 8 wide and 2 high: squeezed to 2 wide and 4 high.
    picture = Image.new("RGB", (8, 2))
    picture.paste((255, 255, 255), (4, 0, 8, 2))
    pixels = ImageRecipe("caffe", 4, 2).load(saved(tmp_path, picture))
    assert pixels.shape == (3, 4, 2)
    blue = pixels[0] + 103.939
    # Bilinear with antialiasing reaches over two output pixels: 8 input pixels, triangle of half-width 4.
    # Output 0 is centred at 2.0: inputs 0..5 weigh 2.5 3.5 3.5 2.5 1.5 .5, of which 4 and 5 are white.
    assert blue[:, 0].tolist() == pytest.approx([255 * 2 / 14] * 4, abs=1)
    assert blue[:, 1].tolist() == pytest.approx([255 * 12 / 14] * 4, abs=1)


PALETTE = Image.new("P", (2, 2), 1)
PALETTE.putpalette([255, 0, 0, 0, 200, 10])
MODES = {
    "gray": (Image.new("L", (2, 2), 9), (9, 9, 9), {}),
    "one bit": (Image.new("1", (2, 2), 1), (255, 255, 255), {}),
    "gray and alpha": (Image.new("LA", (2, 2), (100, 7)), (100, 100, 100), {}),
    "alpha": (Image.new("RGBA", (2, 2), (1, 2, 3, 0)), (1, 2, 3), {}),
    "16 bits": (Image.new("I;16", (2, 2), 1000), (1000 // 256,) * 3, {}),
    "palette": (PALETTE, (0, 200, 10), {}),
    "palette and alpha": (PALETTE, (0, 200, 10), {"transparency": bytes([0, 128])}),
    "CMYK": (Image.new("CMYK", (8, 8), (0, 255, 255, 0)), pytest.approx((255, 0, 0), abs=4), {"format": "JPEG"}),
}  # fmt: skip


@pytest.mark.parametrize(("picture", "expected", "settings"), MODES.values(), ids=MODES)
def test_images_of_any_mode_are_read_as_rgb(tmp_path, picture, expected, settings):
    found = read_rgb(saved(tmp_path, picture, **settings))
    assert (found.mode, found.getpixel((0, 0))) == ("RGB", expected)


def test_a_photograph_is_turned_by_the_rotation_of_its_camera(tmp_path):
    picture, exif = Image.new("RGB", (4, 2)), Image.Exif()
    picture.putpixel((0, 0), (255, 0, 0))
    exif[0x0112] = 6  # the top of the scene is at the right of the file: turn by 90 degrees clockwise
    turned = read_rgb(saved(tmp_path, picture, exif=exif))
    assert (turned.size, turned.getpixel((1, 0))) == ((2, 4), (255, 0, 0))


def test_a_missing_or_damaged_file_is_named(tmp_path):
    path = tmp_path / "gone.png"
    with pytest.raises(LookwhyError, match=f"found no file {path}"):
        CAFFE.load(path)
    whole = saved(tmp_path, Image.fromarray(np.arange(30_000, dtype=np.uint8).reshape(100, 100, 3)))
    # PostScript would start another program.
    for content in (
        b"",
        b"<html>404</html>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        whole.read_bytes()[:-500],
        whole.read_bytes()[:40],
    ):
        path.write_bytes(content)
        with pytest.raises(LookwhyError, match=f"found something else in {path}"):
            CAFFE.load(path)
    path.unlink()
    os.mkfifo(path)  # nobody writes into this pipe: a reader would wait for ever
    with pytest.raises(LookwhyError, match=f"found something else in {path} .*a pipe or a device"):
        CAFFE.load(path)


def test_a_sound_picture_with_broken_exif_values_is_read(shared_data):
    for path in (shared_data / "field" / "01-exif-bad-value").glob("*.jpg"):
        assert read_rgb(path).mode == "RGB"


@pytest.mark.parametrize("recipe", [CAFFE, TORCHVISION])
def test_a_colour_equals_the_pixels_of_an_image_of_that_colour(tmp_path, recipe):
    pixels = recipe.load(saved(tmp_path, Image.new("RGB", (4, 4), (10, 20, 30))))
    torch.testing.assert_close(recipe.color((10.0, 20.0, 30.0)), pixels[:, 0, 0])
    torch.testing.assert_close(CAFFE.color((123.68, 116.779, 103.939)), torch.zeros(3))  # the paper's patch


def test_a_recipe_comes_back_from_plain_types():
    recipe = ImageRecipe("torchvision", 64, 48)
    assert ImageRecipe.from_dict(recipe.to_dict()) == recipe
    with pytest.raises(LookwhyError, match="found 'tensorflow'"):
        ImageRecipe.from_dict({"name": "tensorflow", "height": 1, "width": 1})
