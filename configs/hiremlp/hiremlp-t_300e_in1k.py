# Hire-MLP-T on ImageNet-1K, as in the command of the README: no drop path, 2,048 images per step and, scaled by the
# code, learning rate 2e-3. The paper's first version has 1,024 and 1e-3, for another network, whose values are:
# train_dataloader.batch_size=128 auto_scale_lr.base_batch_size=1024 optim_wrapper.optimizer.lr=1e-3
_base_ = 'hiremlp-b_300e_in1k.py'

model = dict(backbone=dict(arch='tiny', drop_path_rate=0.0))
train_dataloader = dict(batch_size=256)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(start_factor=5e-4)  # 1e-6
auto_scale_lr = dict(base_batch_size=2048)
