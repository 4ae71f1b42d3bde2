import pytest
import torch

from mlp_backbones.ops import gather_dilated, scatter_dilated


@pytest.mark.parametrize('size', [(4, 6), (5, 7), (1, 1), (3, 9)])
@pytest.mark.parametrize(('splits', 'width'), [(1, 4), (2, 2), (3, 1)])
def test_index_by_index_and_back(size, splits, width):
    height, columns = (-(-side // splits) for side in size)
    for layout in (torch.contiguous_format, torch.channels_last):
        x = torch.randn(2, 4, *size, dtype=torch.float64).contiguous(memory_format=layout)
        padded = torch.zeros(2, 4, splits * height, splits * columns, dtype=torch.float64)
        padded[:, :, : size[0], : size[1]] = x
        vectors = gather_dilated(x, splits, width)
        assert vectors.shape == (2, width * splits**2, height * columns, 4 // width)
        for number in range(vectors.shape[1]):
            rest, s = divmod(number, splits)
            channel, r = divmod(rest, splits)
            for place in range(height * columns):
                row, column = divmod(place, columns)
                for group in range(4 // width):
                    wanted = padded[:, group * width + channel, r * height + row, s * columns + column]
                    assert torch.equal(vectors[:, number, place, group], wanted)
        assert torch.equal(scatter_dilated(vectors, x, splits, width), x)


def test_gradients():
    x = torch.randn(1, 4, 3, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(8, 8, dtype=torch.float64)

    def mix(x):
        vectors = torch.einsum('ij,bjpg->bipg', weight, gather_dilated(x, 2, 2))
        return scatter_dilated(vectors, x, 2, 2)

    assert torch.autograd.gradcheck(mix, (x,))
