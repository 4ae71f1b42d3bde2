# Mask2Former (arXiv 2112.01527) for instances in 50 epochs with large-scale jitter, as in mmdet: AdamW, 1e-4, weight
# decay 0.05, 16 images per step. As with Swin, the backbone learns at a tenth of the rate, and neither norms nor
# embeddings decay. `relative_pos` is that of CMT. Keys of mmengine cannot set both for a backbone's norms.
_base_ = 'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py'

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
default_hooks = dict(checkpoint=dict(save_best='coco/segm_mAP'))
# Each process draws its own augmentations, points and drop path.
randomness = dict(seed=None, diff_rank_seed=True)
