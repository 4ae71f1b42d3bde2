# The same for panoptic segmentation.
_base_ = 'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py'

spared = dict(decay_mult=0.0)
optim_wrapper = dict(
    constructor='mlp_backbones.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(
        _delete_=True,
        layer_decay_rate=1.0,
        backbone_lr_mult=0.1,
        norm_decay_mult=0.0,
        custom_keys=dict(query_embed=spared, query_feat=spared, level_embed=spared, relative_pos=spared),
    ),
)
default_hooks = dict(checkpoint=dict(save_best='coco_panoptic/PQ', rule='greater'))
randomness = dict(seed=None, diff_rank_seed=True)
