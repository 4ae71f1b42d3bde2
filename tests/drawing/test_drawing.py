"""Pictures: plates do not cover each other, text has contrast, tints are those of the classes, sheets hold all."""

import numpy as np
import pytest
import torch
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.font_manager import fontManager
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from mlp_backbones.drawing import Drawing, contact_sheet, displayable, pair
from mlp_backbones.drawing.plates import draw_plates
from mlp_backbones.drawing.sample import boxes_of
from mlp_backbones.drawing.text import PAPER, class_colours, contrasting, font, percent, shortened, text_size
from mlp_backbones.engine.hooks.contact_sheet import f1, mean_iou
from mlp_backbones.errors import UserError


def test_names_in_another_script_are_drawn_with_a_font_that_has_them(tmp_path):
    """A font of the machine whose glyph of the class is a block; before there is one, it is a box."""
    builder = FontBuilder(1000)
    pen = TTGlyphPen(None)
    for step, point in enumerate([(0, 0), (0, 900), (900, 900), (900, 0)]):
        (pen.lineTo if step else pen.moveTo)(point)
    pen.closePath()
    builder.setupGlyphOrder(['.notdef', 'block'])
    builder.setupCharacterMap({ord(c): 'block' for c in '\U00013000x97 %'})  # a hieroglyph, which few fonts have
    builder.setupGlyf({'.notdef': TTGlyphPen(None).glyph(), 'block': pen.glyph()})
    builder.setupHorizontalMetrics(dict.fromkeys(('.notdef', 'block'), (1000, 0)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable(dict(familyName='Blocks', styleName='Regular'))
    builder.setupOS2()
    builder.setupPost()
    builder.save(tmp_path / 'blocks.ttf')
    assert font(20, text='Κατηγορία жук ' * 2).getname()[0] == 'DejaVu Sans'
    fontManager.addfont(tmp_path / 'blocks.ttf')
    assert font(20, True, '\U00013000x 97 %').getname()[0] == 'Blocks'
    assert font(20, True, 'x 97 %').getname()[0] == 'DejaVu Sans'
    image, box = np.full((200, 300, 3), 90, np.uint8), np.array([[50.0, 80.0, 250.0, 180.0]])
    drawn, ((left, top, right, bottom),) = draw_plates(image, box, ['\U00013000'], [''], [(255, 255, 255)])
    plate = drawn[int(top) : int(bottom), int(left) : int(right)]
    assert (plate == 0).all(-1).mean() > 0.3  # a block; the frame of a box is thin


@pytest.mark.parametrize(('width', 'height', 'count'), [(100, 80, 12), (640, 480, 60), (2000, 1500, 40), (60, 900, 9)])
def test_plates_lie_in_the_image_and_do_not_cover_each_other(width, height, count):
    rng = np.random.default_rng(count)
    corners = rng.uniform(-0.1, 0.9, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(0, 0.4, (count, 2))], 1) * [width, height, width, height]
    names = [f'{"name " * (i % 7)}{i}' for i in range(count)]
    image = np.zeros((height, width, 3), np.uint8)
    drawn, places = draw_plates(image, boxes, names, [' 97 %'] * count, class_colours(None, count))
    assert drawn.shape == image.shape
    assert (places[:, :2] >= 0).all() and (places[:, 2:] <= [width, height]).all()
    sides = np.minimum(places[:, None, 2:], places[None, :, 2:]) - np.maximum(places[:, None, :2], places[None, :, :2])
    assert ((sides > 0).all(-1).sum(1) == 1).all()  # each covers only itself
    if width >= 640:
        assert len(places) >= 0.9 * count


def test_plates_grow_with_the_image():
    heights = []
    for side in (400, 800, 1600):
        image, box = np.zeros((side, side, 3), np.uint8), np.array([[0.3, 0.3, 0.6, 0.6]]) * side
        place = draw_plates(image, box, ['cat'], [''], [(255, 0, 0)])[1][0]
        heights.append(place[3] - place[1])
        assert place[3] == box[0, 1]  # on top of its box
    assert heights[2] == pytest.approx(2 * heights[1], abs=3) and heights[1] == pytest.approx(2 * heights[0], abs=3)


def test_text_has_the_contrast_that_wcag_asks_for():
    def luminance(colour):
        value = np.array(colour) / 255
        return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)

    for colour in (*class_colours(None, 100), *map(tuple, np.random.default_rng(0).integers(0, 256, (200, 3)))):
        low, high = sorted((luminance(colour), luminance(contrasting(colour))))
        assert (high + 0.05) / (low + 0.05) >= 4.5


def test_colours_of_classes():
    colours = np.array(class_colours([(1, 2, 3)], 40))
    assert tuple(colours[0]) == (1, 2, 3) and colours.min() >= 0 and colours.max() <= 255
    distances = np.abs(colours[:, None] - colours[None]).sum(-1) + 1000 * np.eye(40)
    assert distances[:12, :12].min() > 60 and distances.min() > 10
    assert class_colours('red', 1) == [(255, 0, 0)]
    with pytest.raises(UserError, match=r"palette=\['red', 'blue'\] is not valid"):
        class_colours(['red', 'blue'], 2)
    # CocoDataset gives 80 colours to data of ten classes.
    assert Drawing(dict(classes=[*'0123456789'], palette=[(0, 0, 142)] * 80)).colour_of(3) == class_colours(None, 4)[3]


def test_percent_and_short_names():
    assert [percent(x) for x in (0, 0.004, 0.5, 0.996, 1)] == ['0 %', '< 1 %', '50 %', '99 %', '100 %']
    letters = font(20)
    short = shortened('a name that is long', 80, letters)
    assert short.endswith('…') and short[:3] == 'a n' and 60 < letters.getlength(short) <= 80
    assert shortened('two\nlines', 1000, letters) == 'two lines' and shortened('long', 1, letters) == ''


RGB = np.full((40, 60, 3), 200, np.uint8)


def test_a_label_map_is_tinted_and_has_a_legend():
    labels = torch.zeros(1, 40, 60, dtype=torch.long)
    labels[:, :, 30:], labels[:, :10] = 1, 255
    sample = BaseDataElement()
    sample.gt_sem_seg = PixelData(data=labels)
    draw = Drawing(dict(classes=['a', 'b'], palette=[(0, 0, 0), (250, 100, 0)]))
    drawn = draw(RGB, sample, of='gt')
    assert drawn.shape[1] == 480 and drawn.shape[0] > 320  # eight times the size
    assert tuple(drawn[8, 8]) == (200, 200, 200)  # not labelled
    assert tuple(drawn[200, 100]) == (80, 80, 80) and tuple(drawn[200, 400]) == (230, 140, 80)
    for colour in draw.palette:
        assert (drawn[320:] == colour).all(-1).sum() >= 50  # swatches
    small = draw(RGB, sample, 30, 'gt', with_legend=False)
    assert small.shape == (20, 30, 3)
    assert np.array_equal(RGB, np.full((40, 60, 3), 200))


def test_instances_and_masks():
    masks = torch.zeros(2, 40, 60, dtype=torch.bool)
    masks[0, 10:30, 10:30], masks[1, 5:15, 40:50] = True, True
    sample = BaseDataElement()
    # A method that predicts only masks gives boxes of zeros.
    sample.pred_instances = InstanceData(
        bboxes=torch.zeros(2, 4), scores=torch.tensor([0.4, 0.9]), labels=torch.tensor([0, 2]), masks=masks
    )
    assert boxes_of(sample.pred_instances).tolist() == [[10, 10, 30, 30], [40, 5, 50, 15]]
    draw = Drawing({})
    drawn = draw(RGB, sample)
    assert drawn.shape == (320, 480, 3)
    colours = [draw.colour_of(label) for label in (0, 2)]
    for (x, y), colour in zip([(160, 160), (380, 100)], colours, strict=True):
        assert tuple(drawn[y, x]) == tuple(np.round(100 + 0.5 * np.array(colour)).astype(int))
        assert (drawn == colour).all(-1).sum() > 100  # its box and plate
    sample.pred_instances = InstanceData(bboxes=torch.ones(1, 5), scores=torch.ones(1), labels=torch.ones(1).long())
    with pytest.raises(UserError, match='boxes of 5 numbers are not drawn'):
        draw(RGB, sample)
    with pytest.raises(UserError, match='the sample holds nothing'):
        draw(RGB, sample, of='gt')


@pytest.mark.parametrize('shape', [(1, 1), (1, 2000), (2000, 1), (3, 5)])
def test_any_size_can_be_drawn(shape):
    samples = [BaseDataElement() for _ in range(3)]
    samples[0].pred_sem_seg = PixelData(data=torch.zeros(1, *shape, dtype=torch.long))
    box = torch.tensor([[0.0, 0.0, shape[1], shape[0]]])
    samples[1].pred_instances = InstanceData(bboxes=box, scores=torch.ones(1), labels=torch.zeros(1).long())
    samples[2].set_field(torch.tensor([0.2, 0.8]), 'pred_score')
    rgb = np.zeros((*shape, 3), np.uint8)
    for sample in samples:
        drawn = Drawing(dict(classes=['cat', 'dog']))(rgb, sample)
        assert drawn.dtype == np.uint8 and drawn.shape[0] >= shape[0] and drawn.shape[1] >= shape[1]


def test_panoptic_ids_have_a_border_within_a_class():
    ids = torch.zeros(1, 400, 640, dtype=torch.long)
    ids[:, :, 320:] = 1000
    sample = BaseDataElement()
    sample.pred_panoptic_seg = PixelData(sem_seg=ids)
    drawn = Drawing(dict(classes=['cat']))(np.zeros((400, 640, 3), np.uint8), sample, with_legend=False)
    assert tuple(drawn[100, 100]) == tuple(drawn[100, 500]) != tuple(drawn[100, 319])


def test_sheets_hold_every_picture():
    red, blue = (np.full((50, 80, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255)))
    both = pair(red, blue, 'title')
    assert (both == (255, 0, 0)).all(-1).sum() == (both == (0, 0, 255)).all(-1).sum() == 50 * 80
    assert both.shape[1] == 80 * 2 + text_size(80, 50)
    assert (pair(None, blue, 'title') == (255, 0, 0)).all(-1).sum() == 0
    sheet = contact_sheet([red, blue, red, red], 3, 'title', 12)
    assert (sheet == (255, 0, 0)).all(-1).sum() == 3 * 50 * 80 and tuple(sheet[-1, -1]) == PAPER


def test_scores_of_an_image():
    truth = InstanceData(bboxes=torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30]]), labels=torch.tensor([0, 1]))
    boxes = torch.tensor([[0.0, 0, 10, 9], [0, 0, 10, 10], [20, 20, 30, 30], [21, 20, 30, 30]])
    found = InstanceData(bboxes=boxes, labels=torch.tensor([0, 0, 0, 1]), scores=torch.tensor([0.5, 0.9, 0.8, 0.7]))
    # One of class 0 twice, one of another class, one right.
    assert f1(truth, found) == pytest.approx(2 * 2 / (2 + 4))
    assert f1(truth[:0], found[:0]) == 1 and f1(truth, found[:0]) == 0 == f1(truth[:0], found)
    assert mean_iou(np.array([0, 0, 1, -1]), np.array([0, 1, 1, 2])) == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert mean_iou(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2])) == pytest.approx((1 + 1 / 2 + 0) / 3)


def test_an_array_that_is_no_image():
    with pytest.raises(ValueError, match=r'of shape \(0, 4\) was loaded'):
        displayable(np.zeros((0, 4)))
