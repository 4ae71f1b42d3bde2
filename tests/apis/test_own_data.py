"""Folders of images: formats, splits, names, one sentence for each fault, and what a new config decides."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from pycocotools.coco import COCO

from mlp_backbones.apis.fine_tune import LAYER_DECAY_RATE, DataOptions, new_config, read_folder
from mlp_backbones.errors import UserError
from tests.conftest import ROOT
from tests.own_data import (
    coco_content,
    save,
    scenes,
    write,
    write_class_folders,
    write_coco,
    write_label_maps,
    write_voc,
    write_yolo,
)

GRAY = np.zeros((8, 8), np.uint8)


def read(scope: str, folder: Path, **options):
    return read_folder(scope, DataOptions(folder, **options))


def boxes_by_image(path: Path) -> dict:
    """Boxes and classes of an annotation file, as pycocotools reads it, by the name of the image."""
    coco = COCO(path)
    return {
        Path(image['file_name']).name: sorted(
            (coco.cats[a['category_id']]['name'], *(round(v) for v in a['bbox']), round(a['area']))
            for a in coco.imgToAnns[number]
        )
        for number, image in coco.imgs.items()
    }


def test_all_formats_of_boxes_are_read_alike(tmp_path):
    expected = {
        f'{number}.png': sorted((str(d), x, y, w, h, w * h) for d, (x, y, w, h) in zip(s.labels, s.boxes, strict=True))
        for number, s in enumerate(scenes(10))
    }
    for name, write_data in dict(coco=write_coco, voc=write_voc, yolo=write_yolo).items():
        data = read('mmdet', write_data(tmp_path / name))
        data.write()
        found = {}
        for part in ('train', 'val'):
            settings = data.parts[part]
            found |= boxes_by_image(settings['ann_file'])
            content = json.loads(Path(settings['ann_file']).read_text())
            assert len(content['images']) == data.counts[part]
            assert all(
                (data.folder / settings['data_prefix']['img'] / i['file_name']).is_file() for i in content['images']
            )
        assert found == expected, name
        assert set(data.classes) == {name for rows in expected.values() for name, *_ in rows}
        assert data.has_masks is (name == 'coco')
        assert data.counts == dict(train=9, val=1) or name == 'coco'


def test_polygons_of_yolo_are_masks(tmp_path):
    save(tmp_path / 'images' / 'a.png', np.zeros((40, 80, 3), np.uint8))
    save(tmp_path / 'images' / 'b.png', np.zeros((40, 80, 3), np.uint8))
    for name in 'ab':
        write(tmp_path / 'labels' / f'{name}.txt', '0 0.25 0.25 0.75 0.25 0.75 0.75\n')
    data = read('mmdet', tmp_path, names=write(tmp_path / 'kinds.txt', 'triangle\n'))
    annotation = json.loads(data.files[tmp_path / 'split' / 'train.json'])['annotations'][0]
    assert data.has_masks and data.classes == ('triangle',)
    assert annotation['segmentation'] == [[20, 10, 60, 10, 60, 30]]
    assert annotation['bbox'] == [20, 10, 40, 20] and annotation['area'] == 400


def test_boxes_are_cut_at_the_borders_of_the_image(tmp_path):
    for name in 'ab':
        save(tmp_path / 'images' / f'{name}.png', np.zeros((40, 80, 3), np.uint8))
        write(tmp_path / 'labels' / f'{name}.txt', '0 0.1 0.5 0.4 1.0004\n')
    write(tmp_path / 'data.yaml', 'names: [no]\n')
    data = read('mmdet', tmp_path)
    annotation = json.loads(data.files[tmp_path / 'split' / 'train.json'])['annotations'][0]
    assert annotation['bbox'] == [0, 0, 24, 40] and annotation['area'] == 960
    assert data.classes == ('no',)  # which YAML takes for false
    # A split elsewhere in the folder is no annotation file of the user's.
    data = read('mmdet', tmp_path, split=tmp_path / 'my split')
    data.write()
    assert read('mmdet', tmp_path, split=tmp_path / 'my split').kind == "YOLO's boxes"


def test_class_folders_with_empty_and_hidden_ones_get_lists(tmp_path):
    for place in ('train/cat/a', 'train/dog b/b', 'val/cat/c', 'val/dog b/d'):
        save(tmp_path / f'{place}.png', GRAY)
    assert not read('mmpretrain', tmp_path).files
    (tmp_path / 'train' / '.ipynb_checkpoints').mkdir()
    data = read('mmpretrain', tmp_path)
    assert [*data.files.values()] == ['train/cat/a.png 0\ntrain/dog b/b.png 1\n']
    assert data.classes == ('cat', 'dog b')


def test_given_parts_are_used_as_they_are(tmp_path):
    found = scenes(6)
    for part, first, last in (('train', 0, 4), ('val', 4, 6)):
        content = coco_content(found[first:last], first)
        for annotation in content['annotations']:
            annotation |= dict(area=annotation['bbox'][2] * annotation['bbox'][3], iscrowd=0)
        content['annotations'] = [a for a in content['annotations'] if a['category_id'] == 3 * found[0].labels[0]]
        write(tmp_path / 'annotations' / f'instances_{part}2017.json', json.dumps(content))
        for number in range(first, last):
            save(tmp_path / f'{part}2017' / f'{number}.png', found[number].image)
    data = read('mmdet', tmp_path)
    assert data.files == {} and data.counts == dict(train=4, val=2)
    assert data.classes == (str(found[0].labels[0]),)
    assert data.parts['val']['data_prefix'] == dict(img='val2017/')
    assert data.parts['val']['ann_file'] == f'{tmp_path}/annotations/instances_val2017.json'


def test_a_split_depends_on_names_only_and_keeps_classes_in_training(tmp_path):
    data = read('mmpretrain', write_class_folders(tmp_path / 'a', 10))
    data.write()
    again = read('mmpretrain', write_class_folders(tmp_path / 'b' / 'c', 10))
    texts = [[*d.files.values()] for d in (data, again)]
    assert texts[0] == texts[1] and data.counts == dict(train=8, val=2)
    for text in texts[0]:
        assert {line.rsplit(' ', 1)[1] for line in text.splitlines()} == {'0', '1'}
    data.write()
    path = next(iter(data.files))
    path.write_text('edited')
    with pytest.raises(UserError, match='--split'):
        data.write()


def test_label_maps(tmp_path):
    split = read('mmseg', write_label_maps(tmp_path / 'split', split=True))
    assert split.counts == dict(train=9, val=1) and not split.files
    assert split.parts['val']['data_prefix'] == dict(img_path='images/val', seg_map_path='labels/val')
    whole = read('mmseg', write_label_maps(tmp_path / 'whole'))
    names = [line for text in whole.files.values() for line in text.split()]
    assert sorted(names, key=int) == [str(i) for i in range(10)]
    assert whole.classes[:2] == ('background', '0') and whole.dataset['reduce_zero_label'] is False
    ignored = read(
        'mmseg',
        tmp_path / 'whole',
        names=write(tmp_path / 'digits.json', json.dumps([*'0123456789'])),
        reduce_zero_label=True,
    )
    assert ignored.classes[0] == '0' and ignored.dataset['reduce_zero_label'] is True


def no_images(folder):
    write(folder / 'notes.md', '')


def unknown_format(folder):
    save(folder / 'a.png', GRAY)
    write(folder / 'boxes.csv', '')


def missing_image(folder):
    write_coco(folder)
    (folder / 'images' / '7.png').unlink()


def other_categories(folder):
    for part, name in (('train', 'cat'), ('val', 'dog')):
        save(folder / part / 'a.png', GRAY)
        image = dict(id=1, file_name='a.png', width=8, height=8)
        content = dict(images=[image], annotations=[], categories=[dict(id=1, name=name)])
        write(folder / f'{part}.json', json.dumps(content))


def broken_json(folder):
    write_coco(folder)
    path = folder / 'annotations.json'
    path.write_text(path.read_text().replace('"bbox": [', '"bbox": [1, '))


def two_files(folder):
    write_coco(folder)
    write(folder / 'other.json', (folder / 'annotations.json').read_text())


def yolo_pixels(folder):
    write_yolo(folder)
    write(folder / 'train' / 'labels' / '5.txt', '1 90 80 20 30\n')


def yolo_class(folder):
    write_yolo(folder)
    write(folder / 'train' / 'labels' / '5.txt', '12 .5 .5 .1 .1\n')


def yolo_without_names(folder):
    write_yolo(folder)
    (folder / 'data.yaml').unlink()


def voc_broken(folder):
    write_voc(folder)
    write(folder / 'Annotations' / '4.xml', '<annotation><object>')


def yolo_infinite(folder):
    write_yolo(folder)
    write(folder / 'train' / 'labels' / '5.txt', '\nnan .5 .5 .1 .1\n')


def voc_turned(folder):
    write_voc(folder)
    text = (folder / 'Annotations' / '4.xml').read_text()
    write(folder / 'Annotations' / '4.xml', re.sub('<xmax>.*?</xmax>', '<xmax>0</xmax>', text))


def voc_other_lists(folder):
    write_voc(folder)
    for path in (folder / 'ImageSets' / 'Main').iterdir():
        path.write_text('elsewhere\n')


def numbered_category(folder):
    write_coco(folder)
    path = folder / 'annotations.json'
    path.write_text(path.read_text().replace('"name": "3"', '"name": 3'))


def box_without_number(folder):
    write_coco(folder)
    path = folder / 'annotations.json'
    path.write_text(path.read_text().replace('"bbox": [', '"bbox": [NaN, 1, 1, 1], "old": ['))


def same_id(folder):
    write_coco(folder)
    path = folder / 'annotations.json'
    path.write_text(path.read_text().replace('{"id": 7, "file_name"', '{"id": 6, "file_name"'))


def broken_size(folder):
    write_yolo(folder)
    next(folder.rglob('5.png')).write_bytes(b'\x89PNG\r\n\x1a\n' + bytes(40))


def name_of_bytes(folder):
    write_class_folders(folder, 4)
    Path(os.fsdecode(bytes(folder / 'china') + b'/\xff.jpg')).touch()


def few_names(folder):
    write_label_maps(folder)
    write(folder / 'classes.txt', 'background\n0\n1\n')


def one_name_missing(folder):
    write_label_maps(folder)
    write(folder / 'classes.txt', '\n'.join('0123456789'))


def names_twice(folder):
    write_label_maps(folder)
    write(folder / 'classes.txt', 'a\na\n')


def no_names(folder):
    write_label_maps(folder)
    (folder / 'classes.txt').unlink()


def map_in_colour(folder):
    write_label_maps(folder)
    save(folder / 'labels' / '3.png', np.zeros((192, 192, 3), np.uint8))


def map_missing(folder):
    write_label_maps(folder)
    (folder / 'labels' / '3.png').unlink()


def maps_of_255(folder):
    for kind in ('images', 'labels'):
        for name in 'abc':
            save(folder / kind / f'{name}.png', 255 * GRAY)
    write(folder / 'classes.txt', 'other\nroad\n')


def one_class(folder):
    for name in 'abc':
        save(folder / 'cat' / f'{name}.png', GRAY)


def image_without_class(folder):
    save(folder / 'train' / 'a.png', GRAY)


def only_in_val(folder):
    for place in ('train/cat/a', 'train/dog/b', 'val/cat/c', 'val/bird/d'):
        save(folder / f'{place}.png', GRAY)


@pytest.mark.parametrize(
    ('scope', 'make', 'named'),
    [
        ('mmdet', no_images, ['.jpg']),
        ('mmdet', unknown_format, ['1 .csv', 'COCO', 'YOLO']),
        ('mmdet', missing_image, ['annotations.json', '1 images', '7.png']),
        ('mmdet', other_categories, ['val.json', 'dog', 'cat']),
        ('mmdet', broken_json, ['annotations.json']),
        ('mmdet', two_files, ['other.json', '--annotations']),
        ('mmdet', yolo_pixels, ['5.txt, line 1', '0 to 1']),
        ('mmdet', yolo_class, ['5.txt, line 1', '12', '10 names']),
        ('mmdet', yolo_without_names, ['data.yaml', '--names']),
        ('mmdet', yolo_infinite, ['5.txt, line 2', 'nan']),
        ('mmdet', broken_size, ['5.png']),
        ('mmdet', voc_broken, ['4.xml']),
        ('mmdet', voc_turned, ['4.xml', '0.0']),
        ('mmdet', voc_other_lists, ['ImageSets']),
        ('mmdet', numbered_category, ['annotations.json']),
        ('mmdet', box_without_number, ['annotations.json', 'nan']),
        ('mmdet', same_id, ['annotations.json', 'same id']),
        ('mmpretrain', name_of_bytes, ['udcff.jpg', 'rename']),
        ('mmseg', few_names, ['10', '3 names']),
        ('mmseg', one_name_missing, ['0 to 10', '10 names', '--reduce-zero-label']),
        ('mmseg', names_twice, ["'a' twice"]),
        ('mmseg', no_names, ['classes.txt', '--names']),
        ('mmseg', map_in_colour, ['3.png', '3 channels']),
        ('mmseg', map_missing, ['3.png']),
        ('mmseg', maps_of_255, ['255', '0 to 1']),
        ('mmseg', unknown_format, ['images/']),
        ('mmpretrain', one_class, ['cat']),
        ('mmpretrain', image_without_class, ['train/a.png', 'CLASS']),
        ('mmpretrain', only_in_val, ['bird', 'val/bird/d.png']),
    ],
    ids=lambda value: getattr(value, '__name__', None),
)
def test_a_fault_is_one_sentence_and_nothing_is_written(tmp_path, scope, make, named):
    folder = tmp_path / 'data'
    make(folder)
    before = sorted(tmp_path.rglob('*'))
    with pytest.raises(UserError) as error:
        read(scope, folder)
    assert all(word in str(error.value) for word in named), error.value
    assert '\n' not in str(error.value) and sorted(tmp_path.rglob('*')) == before


def test_a_config_of_a_detector(tmp_path):
    result, data = new_config('mask-rcnn_cyclemlp-b1_fpn_1x_coco', DataOptions(write_yolo(tmp_path / 'data')))
    config = result.config
    assert config.train_dataloader.batch_size == 2 and config.train_cfg.max_epochs == 100
    assert config.optim_wrapper.optimizer.lr == pytest.approx(1e-4 * (2 / 16) ** 0.5, rel=1e-2)
    assert config.optim_wrapper.paramwise_cfg.layer_decay_rate == LAYER_DECAY_RATE
    warm_up, decay = config.param_scheduler
    assert warm_up.end == 50 and decay.milestones == [67, 92] and decay.end == 100
    assert config.model.roi_head.bbox_head.num_classes == len(data.classes)
    assert config.model.roi_head.mask_head is None and config.val_evaluator.metric == ['bbox']
    assert config.val_evaluator.ann_file == data.parts['val']['ann_file']
    assert config.default_hooks.checkpoint.save_best == 'coco/bbox_mAP'
    assert config.test_dataloader == config.val_dataloader
    # The written file is the same config, from any folder.
    path = tmp_path / 'far' / 'new.py'
    write(path, result.text(path.parent))
    assert Config.fromfile(path).to_dict() == config.to_dict()
    assert len(result.text().splitlines()) < 100


def test_a_config_of_a_segmentor_counts_iterations(tmp_path):
    options = DataOptions(write_label_maps(tmp_path), epochs=20, devices=2, weights='none')
    config = new_config('upernet_cyclemlp-b1_160k_ade20k-512x512', options)[0].config
    train = config.train_dataloader
    assert train.batch_size == 2
    assert config.train_cfg.max_iters == 40 and config.train_cfg.val_interval == 4
    warm_up, poly = config.param_scheduler
    assert (warm_up.end, poly.begin, poly.end) == (4, 4, 40)
    assert config.model.decode_head.num_classes == config.model.auxiliary_head.num_classes == 11
    pipelines = [loader.dataset.pipeline for loader in (train, config.val_dataloader)]
    pipelines += [config.test_pipeline, config.tta_pipeline[1].transforms[2]]
    for pipeline in pipelines:
        assert [step.reduce_zero_label for step in pipeline if step.type == 'LoadAnnotations'] == [False]
    assert config.model.backbone.init_cfg is None and config.optim_wrapper.get('constructor') is None
    assert config.auto_scale_lr.base_batch_size == 4


def test_a_config_of_a_classifier(tmp_path):
    result, _ = new_config('cyclemlp-b1_300e_in1k', DataOptions(write_class_folders(tmp_path)))
    config = result.config
    assert config.model.head.num_classes == config.data_preprocessor.num_classes == 2
    assert config.val_evaluator.topk == (1,) and config.train_dataloader.sampler.type == 'DefaultSampler'
    assert config.model.backbone.init_cfg.checkpoint == 'mlp_backbones://cyclemlp_b1'
    warm_up, cosine = config.param_scheduler
    assert warm_up.end == cosine.begin == 2 and cosine.end == 100
    assert cosine.eta_min / 1e-5 == pytest.approx(config.optim_wrapper.optimizer.lr / 1e-3, rel=1e-2)


def test_names_that_a_config_replaces_are_refused(tmp_path):
    names = ["it's", 'a"b', 'back\\slash', 'tab\tname', '猫 {x} 100%']
    for name in names:
        for number in range(2):
            save(tmp_path / 'my data' / name / f'{number}.png', GRAY)
    options = DataOptions(tmp_path / 'my data', weights='none')
    config = new_config('cyclemlp-b1_300e_in1k', options)[0].config
    assert config.train_dataloader.dataset.metainfo.classes == tuple(sorted(names))
    (tmp_path / 'my data' / names[0]).rename(tmp_path / 'my data' / '{{ fileDirname }}')
    with pytest.raises(UserError, match=r'\{\{'):
        new_config('cyclemlp-b1_300e_in1k', options)


def test_queries_for_things_get_the_classes_and_their_weights(tmp_path):
    result, data = new_config('mask2former_r50_8xb2-lsj-50e_coco', DataOptions(write_coco(tmp_path)))
    head, count = result.config.model.panoptic_head, len(data.classes)
    assert (head.num_things_classes, head.num_stuff_classes) == (count, 0)
    assert head.loss_cls.class_weight == [1.0] * count + [0.1]
    assert result.config.val_evaluator.metric == ['bbox', 'segm'] and result.config.train_cfg.max_iters == 400


def test_weights_of_a_backbone_and_of_a_whole_model(tmp_path):
    data = write_label_maps(tmp_path / 'data')
    backbone, whole = tmp_path / 'backbone.pth', tmp_path / 'whole.pth'
    # Only names are read before the training.
    torch.save({'stages.0.blocks.0.norm1.weight': torch.zeros(1)}, backbone)
    torch.save(dict(state_dict={'backbone.stages.0.weight': torch.zeros(1), 'decode_head.x': torch.zeros(1)}), whole)
    recipe = 'semfpn_cyclemlp-b1_40k_ade20k-512x512'
    config = new_config(recipe, DataOptions(data, weights=str(backbone)))[0].config
    assert config.model.backbone.init_cfg.checkpoint == str(backbone) and config.load_from is None
    config = new_config(recipe, DataOptions(data, weights=str(whole)))[0].config
    assert config.load_from == str(whole) and config.model.backbone.init_cfg is None


def test_the_command(tmp_path, run_here):
    write_class_folders(tmp_path / 'data')
    command = ['-m', 'mlp_backbones', 'new-config', 'cyclemlp-b1_300e_in1k', '--data', 'data', '-o', 'new/own.py']
    done = run_here(*command, '--devices', '1', '--epochs', '3', cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    config = Config.fromfile(tmp_path / 'new' / 'own.py')
    assert config.train_cfg.max_epochs == 3 and Path(config.train_dataloader.dataset.ann_file).is_file()
    assert done.stdout.count('written to') == 2 and 'china, flower' in done.stdout
    # A fault of the output leaves no split behind.
    (tmp_path / 'data' / 'split').rename(tmp_path / 'moved')
    (tmp_path / 'link.py').symlink_to('elsewhere.py')
    failed = run_here(*command[:-1], 'link.py', cwd=tmp_path)
    assert failed.returncode == 1 and not (tmp_path / 'data' / 'split').exists()
    failed = run_here(ROOT / 'tools' / 'train.py', 'cyclemlp-b1_300e_in1k', '--epochs', '3', cwd=tmp_path)
    assert failed.returncode == 1 and '--epochs needs --data' in failed.stdout
